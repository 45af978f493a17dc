//! Redis servers on ports, for what a socket cannot do: TLS, sentinels, clusters.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::port::Port;
use crate::wait::eventually;

/// Slots of a cluster.
const SLOTS: usize = 16_384;

/// A running server, or a sentinel. It is killed when dropped.
pub struct Node {
    child: Mutex<Child>,
    port: Port,
    _directory: TempDir,
}

impl Node {
    /// Starts a server with these arguments, in clear text.
    pub async fn start(args: &[&str]) -> Self {
        let port = Port::reserve();
        let number = number(&port);
        Self::run(port, &[&["--port", &number, "--save", ""], args].concat(), "").await
    }

    /// Starts a server that speaks TLS alone.
    pub async fn start_tls(certificate: &Path, key: &Path, args: &[&str]) -> Self {
        let port = Port::reserve();
        let path = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
        let (number, certificate, key) = (number(&port), path(certificate), path(key));
        let tls = [
            ["--port", "0"],
            ["--tls-port", &number],
            ["--tls-cert-file", &certificate],
            ["--tls-key-file", &key],
            ["--tls-ca-cert-file", &certificate],
            ["--tls-auth-clients", "no"],
        ];
        Self::run(port, &[&tls.concat(), args].concat(), "").await
    }

    /// Starts a sentinel that watches this server under this name, alone.
    pub async fn sentinel(name: &str, server: &Self) -> Self {
        let port = Port::reserve();
        let conf = format!(
            "port {}\nsentinel monitor {name} 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 2000\n",
            number(&port),
            number(&server.port),
        );
        Self::run(port, &["--sentinel"], &conf).await
    }

    /// Starts nodes, each a part of one cluster, and returns once it serves all slots.
    pub async fn cluster(count: usize) -> Vec<Self> {
        let mut nodes = Vec::new();
        let buses: Vec<Port> = (0..count).map(|_| Port::reserve()).collect();
        for bus in &buses {
            let bus = number(bus);
            let args = ["--cluster-enabled", "yes", "--cluster-port", &bus];
            nodes.push(Self::start(&args).await);
        }
        let share = SLOTS.div_ceil(count);
        for (index, node) in nodes.iter().enumerate() {
            let (first, end) = (index * share, SLOTS.min((index + 1) * share));
            let range = [first.to_string(), (end - 1).to_string()];
            node.ask(&["cluster", "addslotsrange", &range[0], &range[1]]);
            let other = [number(&nodes[0].port), number(&buses[0])];
            node.ask(&["cluster", "meet", "127.0.0.1", &other[0], &other[1]]);
        }
        for node in &nodes {
            eventually("the cluster to be whole", async || {
                let state = node.ask(&["cluster", "info"]);
                let known = format!("cluster_known_nodes:{count}");
                (state.contains("cluster_state:ok") && state.contains(&known)).then_some(())
            })
            .await;
        }
        nodes
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        self.port.address().to_string()
    }

    /// What the server answers to a command.
    pub fn ask(&self, command: &[&str]) -> String {
        let output =
            Command::new("redis-cli").args(["-p", &number(&self.port)]).args(command).output();
        let output = output.unwrap_or_else(|error| panic!("redis-cli: {error}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Kills it.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        // It may have left before; then there is nothing to kill.
        let _ = child.kill();
        let _ = child.wait();
    }

    async fn run(port: Port, args: &[&str], conf: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("redis.conf"), conf).expect("a file");
        let child = Command::new("redis-server")
            .arg("redis.conf")
            .args(args)
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server: {error}: run `make setup-tests`"));
        eventually("the server to listen", async || {
            TcpStream::connect(port.address()).await.ok().map(|_connected| ())
        })
        .await;
        Self { child: Mutex::new(child), port, _directory: directory }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

fn number(port: &Port) -> String {
    port.address().port().to_string()
}
