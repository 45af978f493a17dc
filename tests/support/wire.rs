//! Bytes on the wire, for what no HTTP library would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use crate::port::Port;
use crate::wait::within;

/// Sends bytes and reads until the other side closes.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    // A server may answer and close before it has read everything.
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = within("the other side to close", socket.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A server that answers every connection with the same bytes, whatever it is asked, and closes.
pub struct WireServer {
    port: Port,
    accepting: AbortHandle,
}

/// Starts a server that answers with these bytes.
pub async fn wire_server(answer: &'static [u8]) -> WireServer {
    let port = Port::reserve();
    let listener = port.listen();
    let accepting = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(say(socket, answer));
        }
    });
    WireServer { port, accepting: accepting.abort_handle() }
}

impl WireServer {
    /// The base URL for the gateway's configuration.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.port.address())
    }
}

impl Drop for WireServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Reads a request's header, answers, and reads on until the caller closes: closing with unread
/// bytes would reset the connection and could take the answer with it.
async fn say(mut socket: TcpStream, answer: &'static [u8]) {
    let mut seen = Vec::new();
    while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
        match socket.read_buf(&mut seen).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let _ = socket.write_all(answer).await;
    let _ = socket.shutdown().await;
    let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
}
