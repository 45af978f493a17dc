//! Addresses of Valkey: one server, the sentinels that know one, or nodes of a cluster.

use redis::IntoConnectionInfo;
use url::Url;

/// How an address begins that names one server.
const ONE: [&str; 5] = ["redis", "rediss", "valkey", "valkeys", "redis+unix"];

/// Where a sentinel listens that is named without a port.
const SENTINEL_PORT: u16 = 26379;

/// What an address names. Each URL is one that the client takes.
#[derive(Debug, PartialEq, Eq)]
pub enum Address {
    /// `redis://user:password@host:6379/0`, `rediss://` for TLS, `redis+unix:///path`.
    One(String),
    /// `redis+sentinel://user:password@host:26379,host:26379/service/0`.
    Sentinels {
        /// Those that are asked.
        urls: Vec<String>,
        /// What they are asked for.
        service: String,
        /// How the server is reached that they name: its host is not known yet.
        server: String,
    },
    /// `redis+cluster://user:password@host:6379,host:6379`.
    Cluster(Vec<String>),
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong, without quoting what may be a password.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const NONE: &str = "is no address of Valkey, such as `redis://127.0.0.1:6379/0`, \
            `redis+sentinel://host:26379,host:26379/service` or `redis+cluster://host:6379,host:6379`";
        let (scheme, rest) = text.split_once(':').ok_or(NONE)?;
        if ONE.contains(&scheme) {
            return Ok(Self::One(text.to_owned()));
        }
        let (scheme, kind) = scheme.split_once('+').ok_or(NONE)?;
        let rest = rest.strip_prefix("//").filter(|_| ONE.contains(&scheme)).ok_or(NONE)?;
        let (account, rest) = match rest.rsplit_once('@') {
            Some((account, rest)) => (format!("{account}@"), rest),
            None => (String::new(), rest),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts = hosts.split(',');
        match kind {
            "cluster" if path.is_empty() && query.is_empty() => {
                let url = |host| checked(format!("{scheme}://{account}{host}"));
                let urls: Option<_> = hosts.map(url).collect();
                urls.map(Self::Cluster).ok_or("must name nodes as `host:6379,host:6379`")
            }
            "cluster" => Err("a cluster has one database: leave out what follows its nodes"),
            "sentinel" => {
                let own = sentinel_account(query).ok_or("knows `?sentinel_password=` alone")?;
                let url = |host| checked(with_port(format!("{scheme}://{own}{host}"))?);
                let urls: Option<_> = hosts.map(url).collect();
                let urls = urls.ok_or("must name sentinels as `host:26379,host:26379`")?;
                let (service, database) = path.split_once('/').unwrap_or((path, "0"));
                let server = checked(format!("{scheme}://{account}unknown/{database}"));
                let server = server.filter(|_| !service.is_empty());
                let server = server.ok_or("must end in `/service`, or `/service/database`")?;
                Ok(Self::Sentinels { urls, service: service.to_owned(), server })
            }
            _ => Err(NONE),
        }
    }
}

/// The URL, where the client takes it.
fn checked(url: String) -> Option<String> {
    let has_host = Url::parse(&url).is_ok_and(|url| url.has_host());
    (has_host && url.as_str().into_connection_info().is_ok()).then_some(url)
}

fn with_port(url: String) -> Option<String> {
    match Url::parse(&url).ok()?.port() {
        Some(_) => Some(url),
        None => Some(format!("{url}:{SENTINEL_PORT}")),
    }
}

/// What the sentinels are shown; they have no part in the server's accounts.
fn sentinel_account(query: &str) -> Option<String> {
    match query.split_once('=') {
        None if query.is_empty() => Some(String::new()),
        Some(("sentinel_password", password)) => Some(format!(":{password}@")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    fn sentinels(urls: &[&str], service: &str, server: &str) -> Address {
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        Address::Sentinels { urls, service: service.to_owned(), server: server.to_owned() }
    }

    #[test]
    fn what_addresses_name() {
        let one = |url: &str| Address::One(url.to_owned());
        let cluster =
            |urls: &[&str]| Address::Cluster(urls.iter().map(|url| (*url).to_owned()).collect());
        for (text, expected) in [
            ("redis://h:1/2", one("redis://h:1/2")),
            ("valkeys://u:p@h", one("valkeys://u:p@h")),
            ("redis+unix:///a/b", one("redis+unix:///a/b")),
            ("redis+cluster://a:1,b:2", cluster(&["redis://a:1", "redis://b:2"])),
            ("rediss+cluster://:p@[::1]:1", cluster(&["rediss://:p@[::1]:1"])),
            (
                "redis+sentinel://u:p@a,b:7/main",
                sentinels(&["redis://a:26379", "redis://b:7"], "main", "redis://u:p@unknown/0"),
            ),
            (
                "valkeys+sentinel://a:1/main/3?sentinel_password=s",
                sentinels(&["valkeys://:s@a:1"], "main", "valkeys://unknown/3"),
            ),
        ] {
            assert_eq!(Address::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_address() {
        for (text, expected) in [
            ("", "is no address of Valkey"),
            ("http://h", "is no address of Valkey"),
            ("redis+pool://h", "is no address of Valkey"),
            ("http+cluster://h", "is no address of Valkey"),
            ("redis+cluster:h", "is no address of Valkey"),
            ("redis+cluster://", "must name nodes"),
            ("redis+cluster://a,,b", "must name nodes"),
            ("redis+cluster://a:port", "must name nodes"),
            ("redis+cluster://a/1", "a cluster has one database"),
            ("redis+sentinel:///main", "must name sentinels"),
            ("redis+sentinel://a", "must end in `/service`"),
            ("redis+sentinel://a/main/x", "must end in `/service`"),
            ("redis+sentinel://a/main?x=y", "knows `?sentinel_password="),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
