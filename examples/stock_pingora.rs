//! Stock Pingora as a pass-through proxy: the measure that `make bench` holds Tollgate against.
//!
//! It does nothing but forward: no authentication, no look at the body, no metrics, no log.
//! `stock_pingora LISTEN UPSTREAM THREADS WORK_STEALING`

use std::env;

use async_trait::async_trait;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    let [listen, upstream, threads, work_stealing] = arguments.as_slice() else {
        return Err("usage: stock_pingora LISTEN UPSTREAM THREADS WORK_STEALING".into());
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
    server.add_service(service);
    server.run_forever();
}
