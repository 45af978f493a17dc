//! The gateway as operators know it: a process, its signals, its files, its admin listener.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::conf::Conf;
use crate::metrics::Metrics;
use crate::port::Port;
use crate::reply::Reply;
use crate::tools;
use crate::wait::eventually;

/// A running gateway. Whatever of it still runs when this is dropped is killed.
pub struct Gateway {
    directory: TempDir,
    client_port: Port,
    admin_port: Port,
    conf: Conf,
    process: Process,
    leaving: Vec<Process>,
    admin: Client,
}

impl Gateway {
    pub(crate) async fn start(conf: Conf, directory: Option<TempDir>) -> Self {
        let directory = directory.unwrap_or_else(|| tempfile::tempdir().expect("a directory"));
        let (client_port, admin_port) = (Port::reserve(), Port::reserve());
        let conf = conf.placed(directory.path(), &client_port, &admin_port);
        fs::write(config_file(directory.path()), conf.yaml()).expect("the configuration file");
        let process = Process::spawn(directory.path(), "first", &["run"], conf.environment());
        let admin = Client::new(format!("http://{}", admin_port.address()));
        let mut gateway =
            Self { directory, client_port, admin_port, conf, process, leaving: Vec::new(), admin };
        gateway.ready().await;
        gateway
    }

    /// Another process with the same configuration.
    fn spawn(&self, name: &str, arguments: &[&str]) -> Process {
        Process::spawn(self.directory(), name, arguments, self.conf.environment())
    }

    /// A client with the test's key, over HTTP/1.
    pub fn client(&self) -> Client {
        Client::new(self.url()).with_test_key()
    }

    /// A client with the test's key, over HTTP/2 in clear text.
    pub fn client_h2c(&self) -> Client {
        Client::h2c(self.url()).with_test_key()
    }

    /// Where clients connect, `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        let scheme = if self.conf.is_tls() { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// Where clients connect.
    pub fn address(&self) -> std::net::SocketAddr {
        self.client_port.address()
    }

    /// Where operators connect.
    pub fn admin_address(&self) -> std::net::SocketAddr {
        self.admin_port.address()
    }

    /// The gateway's own directory: configuration, logs, certificates.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Asks the admin listener.
    pub async fn admin(&self, method: Method, path: &str) -> Reply {
        Reply::from(self.admin.request(method, path)).await
    }

    /// Changes the configuration file, in one step as editors do; nothing is told to the gateway.
    pub fn rewrite(&mut self, change: impl FnOnce(Conf) -> Conf) {
        self.conf = change(self.conf.clone());
        self.write_config(&self.conf.yaml());
    }

    /// Replaces the configuration file by any text.
    pub fn write_config(&self, text: &str) {
        let (path, next) = (config_file(self.directory()), self.directory().join("next.yaml"));
        fs::write(&next, text).expect("the next configuration");
        fs::rename(next, path).expect("the configuration is replaced");
    }

    /// The configuration file's text.
    pub fn config(&self) -> String {
        read(&config_file(self.directory()))
    }

    /// `POST /admin/reload`; the report.
    pub async fn reload(&self) -> Reply {
        self.admin(Method::POST, "/admin/reload").await
    }

    /// Changes the configuration and takes it into use; panics where that is refused.
    pub async fn reconfigure(&mut self, change: impl FnOnce(Conf) -> Conf) {
        self.rewrite(change);
        let report = self.reload().await;
        assert_eq!(report.status, 200, "reload: {}", report.text());
    }

    /// Sends the process a signal, by its name: `HUP`, `USR1`, `TERM`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Starts a new process that takes over, and returns once it has.
    pub async fn upgrade(&mut self) {
        let name = format!("upgrade-{}", self.leaving.len() + 1);
        let next = self.spawn(&name, &["run", "--upgrade"]);
        let old = std::mem::replace(&mut self.process, next);
        self.leaving.push(old);
        let pid_file = self.directory().join("tollgate.pid");
        let pid = self.process.child.id().to_string();
        eventually("the new process to write its id", async || {
            (read(&pid_file).trim() == pid).then_some(())
        })
        .await;
        self.ready().await;
    }

    /// Kills the process, as a power cut would, and starts another one in its place.
    pub async fn crash(&mut self) {
        self.process.signal("KILL");
        eventually("the process to be gone", async || self.process.exit()).await;
        self.process = self.spawn("restarted", &["run"]);
        self.ready().await;
    }

    /// Starts a process in the place of one that has left, and returns once it is ready.
    pub async fn restart(&mut self) {
        let left = eventually("the process to leave", async || self.process.exit()).await;
        let next = self.spawn(&format!("after {left}"), &["run"]);
        self.process = next;
        self.ready().await;
    }

    /// Whether a process that was told to leave still runs.
    pub fn is_draining(&mut self) -> bool {
        self.leaving.iter_mut().any(|process| process.exit().is_none())
    }

    /// Returns once every process that handed over has left, and asserts that each did so well.
    pub async fn drained(&mut self) {
        for process in &mut self.leaving {
            let status = eventually("the old process to leave", async || process.exit()).await;
            assert!(status.success(), "the old process left with {status}: {}", process.stderr());
        }
    }

    /// Returns once the current process has left by itself, with its status.
    pub async fn exited(&mut self) -> ExitStatus {
        let process = &mut self.process;
        eventually("the process to leave", async || process.exit()).await
    }

    /// All metrics, now.
    pub async fn metrics(&self) -> Metrics {
        Metrics::parse(self.admin(Method::GET, "/metrics").await.text())
    }

    /// The sum of the series that a selector names: `tollgate_requests_total{model="demo"}`.
    pub async fn metric(&self, selector: &str) -> f64 {
        self.metrics().await.sum(selector)
    }

    /// Returns once a metric satisfies a condition.
    pub async fn until_metric(&self, selector: &str, satisfied: impl Fn(f64) -> bool) {
        eventually(selector, async || satisfied(self.metric(selector).await).then_some(())).await;
    }

    /// The access log's line about the request that got this reply. Lines stand in the order in
    /// which requests ended, which is not always that of their answers.
    pub async fn logged(&self, reply: &Reply) -> Value {
        eventually("the request's line in the access log", async || {
            let lines = self.access_log(1).await;
            lines.into_iter().find(|line| line["request_id"] == reply.header("x-request-id"))
        })
        .await
    }

    /// The access log's first lines, once there are at least `count` of them.
    pub async fn access_log(&self, count: usize) -> Vec<Value> {
        let path = self.directory().join("access.log");
        let lines = eventually("lines in the access log", async || {
            let text = read(&path);
            // A line counts once its end is written.
            let whole = text.rfind('\n').map(|end| &text[..end])?;
            let lines: Vec<String> = whole.lines().map(ToOwned::to_owned).collect();
            (lines.len() >= count).then_some(lines)
        })
        .await;
        let parse = |line: &String| serde_json::from_str(line).expect("a JSON line");
        lines.iter().map(parse).collect()
    }

    /// What all processes of this gateway wrote to standard error so far.
    pub fn stderr(&self) -> String {
        self.leaving.iter().chain([&self.process]).map(Process::stderr).collect()
    }

    /// What all processes of this gateway wrote to standard output so far.
    pub fn stdout(&self) -> String {
        self.leaving.iter().chain([&self.process]).map(|process| read(&process.stdout)).collect()
    }

    /// Returns once standard error contains a text.
    pub async fn until_stderr(&self, text: &str) {
        eventually(text, async || self.stderr().contains(text).then_some(())).await;
    }

    async fn ready(&mut self) {
        let (admin, process) = (&self.admin, &mut self.process);
        eventually("the gateway to be ready", async || {
            if let Some(status) = process.exit() {
                panic!("the gateway left with {status}: {}", process.stderr());
            }
            let reply = admin.request(Method::GET, "/readyz").send().await.ok()?;
            reply.status().is_success().then_some(())
        })
        .await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the gateway's standard error ---\n{}", self.stderr());
        }
    }
}

/// What a command of the binary that ends by itself said.
pub struct Said {
    /// Whether it left with 0.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs the binary to its end: `tollgate(&["check", "--config", path])`.
pub fn tollgate(arguments: &[&str]) -> Said {
    let output = Command::new(tools::tollgate()).args(arguments).output().expect("the binary runs");
    Said {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// One process of the binary, its output going to files. It is killed when dropped.
struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    fn spawn(
        directory: &Path,
        name: &str,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> Self {
        let stdout = directory.join(format!("{name}.stdout"));
        let stderr = directory.join(format!("{name}.stderr"));
        let child = Command::new(tools::tollgate())
            .args(arguments)
            .arg("--config")
            .arg(config_file(directory))
            .current_dir(directory)
            .env("RUST_LOG", "info")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdout(File::create(&stdout).expect("a file for standard output"))
            .stderr(File::create(&stderr).expect("a file for standard error"))
            .spawn()
            .expect("the binary starts");
        Self { child, stdout, stderr }
    }

    fn stderr(&self) -> String {
        read(&self.stderr)
    }

    fn exit(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of this process")
    }

    fn signal(&self, name: &str) {
        // The shell's own `kill`: signals need no unsafe code and no further crate this way.
        let status = Command::new("sh")
            .args(["-c", r#"kill -s "$0" "$1""#, name, &self.child.id().to_string()])
            .status()
            .expect("a shell");
        assert!(status.success(), "SIG{name} could not be sent");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have left before; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config_file(directory: &Path) -> PathBuf {
    directory.join("tollgate.yaml")
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
