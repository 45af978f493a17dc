//! The programs that tests run beside the gateway, and where they are found.
//!
//! A missing one fails the test that needs it and says how to get it: a test that skips itself
//! would pass on a machine where it tests nothing.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::client::Client;
use crate::port::Port;
use crate::wait::eventually;

/// The binary under test: `TOLLGATE_BIN`, or the one that cargo built for this test run.
pub fn tollgate() -> PathBuf {
    let path =
        std::env::var_os("TOLLGATE_BIN").or_else(|| std::env::var_os("CARGO_BIN_EXE_tollgate"));
    path.expect("run by cargo, or TOLLGATE_BIN names the binary").into()
}

/// The repository's root.
pub fn root() -> &'static Path {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("the harness lies in tests/support")
}

/// A program of the Python environment that `make setup-tests` makes.
pub fn python(program: &str) -> PathBuf {
    let path = root().join("target/venv/bin").join(program);
    assert!(path.exists(), "{} is missing: run `make setup-tests`", path.display());
    path
}

/// Runs a command to its end with an input; panics where it fails, with all that it said.
pub fn run(command: &mut Command, input: &str) -> String {
    let name = format!("{command:?}");
    let said = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        said.spawn().unwrap_or_else(|error| panic!("{name}: {error}: run `make setup-tests`"));
    let mut stdin = child.stdin.take().expect("a pipe");
    // A program may leave before it has read everything: its status tells.
    let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{name} left with {}:\n{said}", output.status);
    said
}

/// A server of another kind in a process of its own, killed when dropped.
pub struct Server {
    child: Child,
    port: Port,
}

impl Server {
    /// `tollgate mock` on a free port.
    pub async fn mock() -> Self {
        let port = Port::reserve();
        let mut command = Command::new(tollgate());
        command.args(["mock", "--listen", &port.address().to_string()]);
        Self::start(command, port, "/health").await
    }

    /// llmock, a third party's model server with faults and a verdict, on a free port; `more` is what else it is told.
    pub async fn llmock(more: &[&str]) -> Self {
        let port = Port::reserve();
        let number = port.address().port().to_string();
        let mut command = Command::new(python("llmock"));
        command.args(["serve", "--port", &number, "--log-level", "warning"]).args(more);
        Self::start(command, port, "/health").await
    }

    /// llama.cpp's server with a tiny model, on a free port: `tests/sdk/llama_server.py`.
    pub async fn llama() -> Self {
        let port = Port::reserve();
        let mut command = Command::new(python("python"));
        command.arg(root().join("tests/sdk/llama_server.py"));
        command.arg(port.address().port().to_string());
        Self::start(command, port, "/health").await
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    async fn start(mut command: Command, port: Port, ready: &str) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut server = Self { child, port };
        let client = Client::new(server.url());
        eventually("the server to be ready", async || {
            let exit = server.child.try_wait().expect("a child of this process");
            assert!(exit.is_none(), "{command:?} left with {exit:?}");
            let reply = client.request(reqwest::Method::GET, ready).send().await.ok()?;
            reply.status().is_success().then_some(())
        })
        .await;
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have left before; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
