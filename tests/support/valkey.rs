//! A Valkey (or Redis) server of a test's own: in a directory, reached over a socket there, so that no
//! port is taken.

use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::wait::eventually;

/// A running server. It keeps nothing on disk, and is killed when dropped.
pub struct Valkey {
    directory: TempDir,
    child: Mutex<Child>,
}

impl Valkey {
    /// Starts a server, and returns once it can be reached.
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let child = Mutex::new(spawn(&directory));
        let server = Self { directory, child };
        server.ready().await;
        server
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Kills the server: what it held is gone.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        // It may have left before; then there is nothing to kill.
        let _ = child.kill();
        let _ = child.wait();
        let _ = std::fs::remove_file(self.socket());
    }

    /// Starts it again, empty.
    pub async fn revive(&self) {
        *self.child.lock().unwrap() = spawn(&self.directory);
        self.ready().await;
    }

    fn socket(&self) -> std::path::PathBuf {
        self.directory.path().join("socket")
    }

    async fn ready(&self) {
        eventually("the Valkey server to be ready", async || {
            UnixStream::connect(self.socket()).await.ok().map(|_connected| ())
        })
        .await;
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(directory: &TempDir) -> Child {
    Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--unixsocket", "socket"])
        .current_dir(directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("redis-server: {error}: run `make setup-tests`"))
}
