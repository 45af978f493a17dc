//! Stock Pingora as a pass-through proxy: the measure that `make bench` holds Tollgate against.
//!
//! It does nothing but forward: no authentication, no look at the body, no metrics, no log.
//! `stock_pingora LISTEN UPSTREAM THREADS WORK_STEALING [TLS_LISTEN CERTIFICATE KEY]`

use std::env;

use async_trait::async_trait;
use pingora::listeners::tls::TlsSettings;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: stock_pingora LISTEN UPSTREAM THREADS WORK_STEALING \
    [TLS_LISTEN CERTIFICATE KEY]";

struct PassThrough {
    upstream: String,
}

#[async_trait]
impl ProxyHttp for PassThrough {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _ctx: &mut (),
    ) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream.as_str(), false, String::new())))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [listen, upstream, threads, work_stealing, tls @ ..] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let conf = ServerConf {
        threads: threads.parse()?,
        work_stealing: work_stealing.parse()?,
        upstream_keepalive_pool_size: 1024,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let proxy = PassThrough { upstream: upstream.clone() };
    let mut service = http_proxy_service(&server.configuration, proxy);
    service.add_tcp(listen);
    match tls {
        [] => {}
        [listen, certificate, key] => {
            let mut settings = TlsSettings::intermediate(certificate, key)?;
            settings.enable_h2();
            service.add_tls_with_settings(listen, None, settings);
        }
        _ => return Err(USAGE.into()),
    }
    server.add_service(service);
    server.run_forever();
}
