//! An endpoint's URL: scheme, host, port and base path; nothing else may stand in it.

use url::{Host, Url};

/// The parts of an endpoint's URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// Whether TLS is spoken.
    pub(super) tls: bool,
    /// A name or an address, IPv6 without brackets.
    pub(super) host: String,
    /// The port, the scheme's where none is given.
    pub(super) port: u16,
    /// The path without a trailing slash; empty for the root.
    pub(super) path: String,
    /// `Host` of requests: the port only where it is not the scheme's.
    pub(super) authority: String,
}

/// Reads a URL. The error does not quote it: credentials may stand in it.
pub(super) fn parse(text: &str) -> Result<Base, String> {
    const EXAMPLE: &str = "such as `https://api.openai.com/v1`";
    let url = Url::parse(text).map_err(|error| format!("is not a URL, {EXAMPLE}: {error}"))?;
    let tls = match url.scheme() {
        "https" => true,
        "http" => false,
        scheme => {
            return Err(format!("the scheme must be `http` or `https`, not `{scheme}`, {EXAMPLE}"));
        }
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user and password: put them into `credential`".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("must have no `?` and no `#` part, {EXAMPLE}"));
    }
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
        return Err(format!("must name a host, {EXAMPLE}"));
    };
    if port == 0 {
        return Err("the port must not be 0".into());
    }
    let authority = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
    Ok(Base {
        tls,
        host: match host {
            Host::Domain(name) => name.into(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        },
        port,
        path: url.path().trim_end_matches('/').into(),
        authority,
    })
}

#[cfg(test)]
mod tests {
    use proptest::proptest;

    use super::{Base, parse};

    fn base(tls: bool, host: &str, port: u16, path: &str, authority: &str) -> Base {
        let (host, path, authority) = (host.into(), path.into(), authority.into());
        Base { tls, host, port, path, authority }
    }

    #[test]
    fn parts_of_a_url() {
        for (text, expected) in [
            (
                "https://api.openai.com/v1",
                base(true, "api.openai.com", 443, "/v1", "api.openai.com"),
            ),
            ("http://gpu-1:8000/v1/", base(false, "gpu-1", 8000, "/v1", "gpu-1:8000")),
            ("http://10.0.0.1", base(false, "10.0.0.1", 80, "", "10.0.0.1")),
            ("https://h:443/", base(true, "h", 443, "", "h")),
            ("https://[::1]:8443/a/b", base(true, "::1", 8443, "/a/b", "[::1]:8443")),
            ("HTTPS://EXAMPLE.com/V1", base(true, "example.com", 443, "/V1", "example.com")),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        for (text, expected) in [
            ("", "is not a URL"),
            ("api.openai.com/v1", "is not a URL"),
            ("localhost:8000", "the scheme must be `http` or `https`, not `localhost`"),
            ("ftp://host/", "the scheme must be `http` or `https`, not `ftp`"),
            ("https://user:hunter2@host/", "must hold no user and password"),
            ("https://host/v1?api-version=1", "must have no `?`"),
            ("https://host/v1#x", "must have no `?`"),
            ("https://host:99999/", "is not a URL"),
            ("https://host:0/", "the port must not be 0"),
            ("https://", "is not a URL"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
            assert!(!error.contains("hunter2"));
        }
    }

    proptest! {
        #[test]
        fn garbage_does_not_panic(text in ".*") {
            let _ = parse(&text);
        }
    }
}
