//! Providers: each of their endpoints becomes an [`Endpoint`] that holds all a request needs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, header};
use rustls::pki_types::ServerName;

use super::credential::{Given, credential};
use super::limits::{millis, millis_or_zero, within};
use super::platform::{self, Wanted};
use super::shares::WEIGHT_MAX;
use super::url::Base;
use super::{Surroundings, headers, name, tls, url};
use crate::config::raw;
use crate::config::snapshot::credential::Credential;
use crate::config::snapshot::health::{ActiveHealth, PassiveHealth};
use crate::config::snapshot::{Endpoint, UpstreamTls};
use crate::config::spot::Spot;
use crate::dialect::ir::Dialect;
use crate::types::{EndpointId, ProviderId};

/// Endpoints by provider. A provider whose endpoints were all refused has none.
pub(super) type Providers<'a> = BTreeMap<&'a str, Vec<Arc<Endpoint>>>;

/// Builds every endpoint of every provider.
pub(super) fn providers<'a>(
    raw: &'a BTreeMap<String, raw::Provider>,
    spot: &Spot<'_>,
    around: &Surroundings<'_>,
) -> Providers<'a> {
    let mut taken = HashMap::new();
    let mut providers = Providers::new();
    for (id, provider) in raw {
        name(id, &spot.name_of(id));
        let place = spot.key(id);
        let shared = Shared::of(id, provider, &place, around);
        providers.insert(id, endpoints(&shared, provider, &place, &mut taken));
    }
    providers
}

/// What all endpoints of a provider have in common.
struct Shared {
    provider: ProviderId,
    dialect: Dialect,
    also: Box<[Dialect]>,
    extensions: bool,
    usage_in_streams: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
    credential: Option<Arc<Credential>>,
    platform: Wanted,
    region: Option<Box<str>>,
    /// Without a server name where the file gives none: it is then the endpoint's host.
    tls: UpstreamTls,
    health: Option<ActiveHealth>,
    passive: PassiveHealth,
}

impl Shared {
    fn of(id: &str, raw: &raw::Provider, spot: &Spot<'_>, around: &Surroundings<'_>) -> Self {
        let dialect = dialect(raw.dialect);
        let place = spot.key("credential");
        let given = raw.credential.as_ref().and_then(|raw| credential(raw, &place, around));
        let (own, live) = match given {
            Some(Given::Fixed(secret)) => {
                (fixed_header(dialect, raw.platform, secret.expose(), &place), None)
            }
            Some(Given::Live(credential)) => (None, Some(Arc::new(credential))),
            None => (None, None),
        };
        let fixed = headers::headers(&raw.headers, &spot.key("headers"));
        // It tells the usage of every stream, and refuses to be asked for it.
        let mistral = raw.platform == Some(raw::platform::Platform::Mistral);
        Self {
            provider: ProviderId::from(id),
            dialect,
            also: also(dialect, &raw.also, &spot.key("also")),
            extensions: raw.extensions,
            usage_in_streams: raw.usage_in_streams.unwrap_or(!mistral),
            headers: own.into_iter().chain(fixed).collect(),
            credential: live,
            platform: Wanted::of(raw, dialect, spot),
            region: region(raw.credential.as_ref(), &place),
            tls: upstream_tls(&raw.tls, &spot.key("tls"), around),
            health: raw.health.as_ref().map(|raw| active(raw, &spot.key("health"))),
            passive: passive(&raw.passive, &spot.key("passive")),
        }
    }
}

fn dialect(raw: raw::Dialect) -> Dialect {
    match raw {
        raw::Dialect::OpenAi => Dialect::Chat,
        raw::Dialect::Responses => Dialect::Responses,
        raw::Dialect::Anthropic => Dialect::Anthropic,
        raw::Dialect::Gemini => Dialect::Gemini,
        raw::Dialect::Bedrock => Dialect::Bedrock,
    }
}

fn also(own: Dialect, raw: &[raw::Dialect], spot: &Spot<'_>) -> Box<[Dialect]> {
    let mut known = vec![own];
    for (index, raw) in raw.iter().enumerate() {
        let dialect = dialect(*raw);
        if known.contains(&dialect) {
            spot.item(index)
                .refuse("is said before: each dialect once, and not the provider's own");
        } else if dialect == Dialect::Bedrock {
            spot.item(index).refuse("no client speaks `bedrock`: it can only be the `dialect`");
        } else {
            known.push(dialect);
        }
    }
    known.split_off(1).into()
}

/// A fixed credential as the servers want it.
fn fixed_header(
    dialect: Dialect,
    platform: Option<raw::platform::Platform>,
    secret: &str,
    spot: &Spot<'_>,
) -> Option<(HeaderName, HeaderValue)> {
    let bearer = || (header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {secret}")));
    let plain = |name| (HeaderName::from_static(name), HeaderValue::from_str(secret));
    let (name, value) = match (platform, dialect) {
        (Some(raw::platform::Platform::Azure), _) => plain("api-key"),
        (Some(raw::platform::Platform::Vertex), _)
        | (_, Dialect::Chat | Dialect::Responses | Dialect::Bedrock) => bearer(),
        (_, Dialect::Anthropic) => plain("x-api-key"),
        (_, Dialect::Gemini) => plain("x-goog-api-key"),
    };
    let Ok(mut value) = value else {
        spot.refuse("the secret holds a character that no header may have");
        return None;
    };
    value.set_sensitive(true);
    Some((name, value))
}

/// The region that the file gives; without, each endpoint's host tells it.
fn region(raw: Option<&raw::credential::Credential>, spot: &Spot<'_>) -> Option<Box<str>> {
    let region = raw?.aws.as_ref()?.region.as_deref()?;
    if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        spot.key("aws").key("region").refuse("is no region, such as `us-east-1`");
    }
    Some(region.into())
}

fn endpoints(
    shared: &Shared,
    raw: &raw::Provider,
    spot: &Spot<'_>,
    taken: &mut HashMap<EndpointId, String>,
) -> Vec<Arc<Endpoint>> {
    let list = spot.key("endpoints");
    if raw.endpoints.is_empty() {
        list.refuse("must have at least one endpoint");
    }
    let mut endpoints = Vec::with_capacity(raw.endpoints.len());
    for (index, raw) in raw.endpoints.iter().enumerate() {
        let place = list.item(index);
        let Some(endpoint) = endpoint(shared, raw, &place) else { continue };
        if let Some(other) = taken.get(&endpoint.id) {
            let id = &endpoint.id;
            place.refuse(format!(
                "the name `{id}` is that of {other}: set `name` to tell them apart"
            ));
            continue;
        }
        taken.insert(endpoint.id.clone(), place.to_string());
        endpoints.push(Arc::new(endpoint));
    }
    let speaks_tls = endpoints.iter().any(|endpoint| endpoint.tls.is_some());
    if !endpoints.is_empty() && !speaks_tls && !spot.key("tls").keys().is_empty() {
        spot.key("tls").refuse("has no effect: no endpoint here has an `https` URL");
    }
    endpoints
}

fn endpoint(shared: &Shared, raw: &raw::Endpoint, spot: &Spot<'_>) -> Option<Endpoint> {
    let weight = within(raw.weight, 1, 1..=WEIGHT_MAX, &spot.key("weight"));
    if let Some(given) = &raw.name {
        name(given, &spot.key("name"));
    }
    let place = spot.key("url");
    let base = url::parse(&raw.url).map_err(|why| place.refuse(why)).ok()?;
    let authority = HeaderValue::from_str(&base.authority)
        .map_err(|_| place.refuse("the host cannot stand in a `Host` header"))
        .ok()?;
    let platform = shared.platform.at(&base.host, &place);
    let region = shared.region.clone().or_else(|| platform::region_of(&base.host).map(Into::into));
    if matches!(shared.credential.as_deref(), Some(Credential::Aws(_))) && region.is_none() {
        place.refuse("the host names no region of AWS: set `credential.aws.region`");
    }
    let provider = &shared.provider;
    let id = match &raw.name {
        Some(given) => EndpointId::from(given.as_str()),
        None => EndpointId::from(id_of(provider, &base).as_str()),
    };
    Some(Endpoint {
        id,
        provider: provider.clone(),
        dialect: shared.dialect,
        also: shared.also.clone(),
        extensions: shared.extensions,
        usage_in_streams: shared.usage_in_streams,
        tls: base.tls.then(|| endpoint_tls(&shared.tls, &base.host, &place)),
        host: base.host.into(),
        port: base.port,
        base_path: base.path.into(),
        authority,
        headers: shared.headers.clone(),
        credential: shared.credential.clone(),
        platform,
        region,
        weight,
        health: shared.health.clone(),
        passive: shared.passive.clone(),
    })
}

fn id_of(provider: &ProviderId, base: &Base) -> String {
    let Base { host, port, .. } = base;
    if host.contains(':') {
        return format!("{provider}/[{host}]:{port}");
    }
    format!("{provider}/{host}:{port}")
}

fn endpoint_tls(shared: &UpstreamTls, host: &str, spot: &Spot<'_>) -> UpstreamTls {
    let mut tls = shared.clone();
    if tls.server_name.is_empty() {
        if ServerName::try_from(host).is_err() {
            spot.refuse(format!(
                "no certificate can carry the name `{host}`: set `tls.server_name`"
            ));
        }
        tls.server_name = host.into();
    }
    tls
}

fn upstream_tls(raw: &raw::UpstreamTls, spot: &Spot<'_>, around: &Surroundings<'_>) -> UpstreamTls {
    let ca_file = raw.ca_file.as_ref().map(|path| around.path(path));
    if let Some(file) = &ca_file {
        tls::roots(file, &spot.key("ca_file"));
    }
    if let Some(server_name) = &raw.server_name
        && ServerName::try_from(server_name.as_str()).is_err()
    {
        let text = format!("`{server_name}` is neither a host's name nor an address");
        spot.key("server_name").refuse(text);
    }
    UpstreamTls {
        server_name: raw.server_name.clone().unwrap_or_default().into(),
        ca_file,
        verify: raw.verify.unwrap_or(true),
        http2: raw.http2.unwrap_or(true),
    }
}

fn active(raw: &raw::health::Health, spot: &Spot<'_>) -> ActiveHealth {
    const CHECKS_MAX: u32 = 1000;
    if let Some(path) = &raw.path
        && (!path.starts_with('/') || path.parse::<PathAndQuery>().is_err())
    {
        let text = format!("`{path}` is not the path of a URL, such as `/health`");
        spot.key("path").refuse(text);
    }
    ActiveHealth {
        path: raw.path.as_deref().map(Into::into),
        interval: millis(raw.interval_ms, 5000, &spot.key("interval_ms")),
        timeout: millis(raw.timeout_ms, 2000, &spot.key("timeout_ms")),
        healthy_after: within(raw.healthy_after, 2, 1..=CHECKS_MAX, &spot.key("healthy_after")),
        unhealthy_after: within(
            raw.unhealthy_after,
            3,
            1..=CHECKS_MAX,
            &spot.key("unhealthy_after"),
        ),
    }
}

fn passive(raw: &raw::health::Passive, spot: &Spot<'_>) -> PassiveHealth {
    const FAILURES_MAX: u32 = 1_000_000;
    let eject = millis(raw.eject_ms, 5000, &spot.key("eject_ms"));
    let eject_max = millis(raw.eject_max_ms, 300_000, &spot.key("eject_max_ms"));
    if eject > eject_max {
        // The one that the file sets is at fault; where it sets both, the longest.
        let key = if raw.eject_max_ms.is_some() { "eject_max_ms" } else { "eject_ms" };
        spot.key(key).refuse(format!(
            "the first ejection, {} ms, must not be longer than the longest, {} ms",
            eject.as_millis(),
            eject_max.as_millis()
        ));
    }
    PassiveHealth {
        failures: within(raw.failures, 5, 0..=FAILURES_MAX, &spot.key("failures")),
        eject,
        eject_max,
        slow_start: millis_or_zero(raw.slow_start_ms, 10_000, &spot.key("slow_start_ms")),
    }
}
