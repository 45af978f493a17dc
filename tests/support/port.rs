//! A free port that stays ours.
//!
//! Asking the kernel for a port and letting it go again leaves a gap in which another test gets
//! the same one. So the socket that asked stays bound, without listening: with `SO_REUSEADDR` on
//! both, a second socket may bind the port and listen, and the kernel gives it to nobody else.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// A port of 127.0.0.1, reserved until this is dropped. Connections are refused until someone listens.
pub struct Port {
    address: SocketAddr,
    _reservation: TcpSocket,
}

impl Port {
    /// Reserves a free port.
    pub fn reserve() -> Self {
        let socket = bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let address = socket.local_addr().expect("the address of a bound socket");
        Self { address, _reservation: socket }
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens on the port.
    pub fn listen(&self) -> TcpListener {
        let socket = bind(self.address).expect("the reserved port can be bound");
        socket.listen(1024).expect("the reserved port is not listened on twice")
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
