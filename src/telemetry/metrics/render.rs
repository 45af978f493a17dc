//! Tollgate's metrics by name: which families exist, what they say, where they are read from.

use std::sync::atomic::Ordering;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;

use super::cells::{OVERHEAD_BOUNDS, REQUEST_BOUNDS, distribution, sum};
use super::page::{Family, Page};
use super::{
    AliasMetrics, EndpointMetrics, Handles, Metrics, TargetMetrics, credential, issuer, slots,
};
use crate::error::Kind;

/// Every family that has a sample.
pub(super) fn families(metrics: &Metrics) -> Vec<MetricFamily> {
    let mut page = Page::default();
    gateway(&mut page, metrics);
    metrics.admission.families(&mut page);
    {
        let handles = metrics.handles();
        let aliases = || handles.aliases.values().chain([&metrics.no_alias]).map(AsRef::as_ref);
        requests(&mut page, aliases);
        attempts(&mut page, &handles);
        endpoints(&mut page, &handles);
        credential::families(&mut page, handles.credentials.values().map(AsRef::as_ref));
        issuer::families(&mut page, handles.issuers.values().map(AsRef::as_ref));
    }
    metrics.contexts.families(&mut page);
    metrics.roster.families(&mut page);
    metrics.certificates.families(&mut page);
    // CPU, memory, descriptors, threads.
    page.extend(metrics.process.collect());
    page.into_families()
}

/// What is counted once for the process.
fn gateway(page: &mut Page, metrics: &Metrics) {
    let mut build = Family::gauge("tollgate_build_info", "Always 1; the version is the label.");
    build.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.add(build);

    let mut in_flight =
        Family::gauge("tollgate_in_flight", "Requests that have arrived and not ended.");
    in_flight.sample(&[], metrics.in_flight() as u64);
    page.add(in_flight);

    let mut errors =
        Family::counter("tollgate_errors_total", "Requests that ended in an error, by its code.");
    for kind in Kind::ALL {
        let count = sum(&metrics.errors, |counts| counts, kind as usize);
        errors.nonzero(&[("code", kind.code())], count);
    }
    page.add(errors);

    let mut revision = Family::gauge(
        "tollgate_config_revision",
        "The configuration in use: 1 at start, one more with every reload that changed it.",
    );
    revision.sample(&[], metrics.revision.load(Ordering::Relaxed));
    page.add(revision);

    let mut reloads =
        Family::counter("tollgate_config_reloads_total", "Reloads, by what came of them.");
    for (slot, label) in slots::RELOADS.into_iter().enumerate() {
        reloads.sample(&[("outcome", label)], metrics.reloads.get(slot));
    }
    page.add(reloads);

    let mut lost = Family::counter(
        "tollgate_access_log_dropped_total",
        "Requests whose line is missing from the access log.",
    );
    for (slot, label) in slots::LOSSES.into_iter().enumerate() {
        lost.sample(&[("reason", label)], metrics.lost_lines.get(slot));
    }
    page.add(lost);
}

/// What clients saw, by alias.
fn requests<'a, I>(page: &mut Page, aliases: impl Fn() -> I)
where
    I: Iterator<Item = &'a AliasMetrics>,
{
    let mut requests = Family::counter(
        "tollgate_requests_total",
        "Requests that have ended, by the status sent; 499: the client left before one was.",
    );
    let mut retries = Family::counter(
        "tollgate_upstream_retries_total",
        "Attempts that were followed by another, by their outcome.",
    );
    let mut received =
        Family::counter("tollgate_request_bytes_total", "Bodies received from clients, in bytes.");
    let mut sent =
        Family::counter("tollgate_response_bytes_total", "Bodies sent to clients, in bytes.");
    for alias in aliases() {
        let model = ("model", alias.alias().as_str());
        for slot in 0..slots::OPERATIONS * slots::STATUSES.len() {
            let operation = slots::operation_label(slot / slots::STATUSES.len());
            let status = slots::STATUSES.get(slot % slots::STATUSES.len()).copied().unwrap_or("");
            let labels = [model, ("operation", operation), ("status", status)];
            requests.nonzero(&labels, sum(&alias.shards, |cells| &cells.requests, slot));
        }
        for (slot, reason) in slots::OUTCOMES.into_iter().enumerate() {
            let count = sum(&alias.shards, |cells| &cells.retries, slot);
            retries.nonzero(&[model, ("reason", reason)], count);
        }
        received.sample(&[model], sum(&alias.shards, |cells| &cells.request_bytes, 0));
        sent.sample(&[model], sum(&alias.shards, |cells| &cells.response_bytes, 0));
    }
    page.add(requests);
    page.add(retries);
    page.add(received);
    page.add(sent);
    request_times(page, aliases());
}

/// How long clients waited, and how much of it was the gateway's doing.
fn request_times<'a>(page: &mut Page, aliases: impl Iterator<Item = &'a AliasMetrics>) {
    let mut total = Family::histogram(
        "tollgate_request_duration_seconds",
        "From the request's header to the answer's end.",
    );
    let mut first_byte = Family::histogram(
        "tollgate_first_byte_seconds",
        "From the request's header to the answer's first byte to the client.",
    );
    let mut overhead = Family::histogram(
        "tollgate_overhead_seconds",
        "The request's time less the time of its attempts: what the gateway itself took.",
    );
    for alias in aliases {
        let model = [("model", alias.alias().as_str())];
        let shards = &alias.shards;
        total.distribution(&model, distribution(shards, |cells| &cells.duration, &REQUEST_BOUNDS));
        first_byte
            .distribution(&model, distribution(shards, |cells| &cells.first_byte, &REQUEST_BOUNDS));
        overhead
            .distribution(&model, distribution(shards, |cells| &cells.overhead, &OVERHEAD_BOUNDS));
    }
    page.add(total);
    page.add(first_byte);
    page.add(overhead);
}

/// What came of attempts, by alias and endpoint.
fn attempts(page: &mut Page, handles: &Handles) {
    let mut attempts = Family::counter(
        "tollgate_upstream_attempts_total",
        "Attempts at upstreams, by what came of them.",
    );
    let mut tokens = Family::counter(
        "tollgate_tokens_total",
        "Tokens as upstreams reported them, or as estimated for what is charged, in disjoint classes.",
    );
    let mut cost = Family::counter(
        "tollgate_cost_micro_usd_total",
        "What requests were charged, in millionths of a US dollar.",
    );
    let mut estimated = Family::counter(
        "tollgate_estimated_requests_total",
        "Requests whose tokens are estimated, as their answers told none.",
    );
    let mut translations = Family::counter(
        "tollgate_translations_total",
        "Attempts at endpoints that do not speak the client's dialect, by whether something was lost.",
    );
    let mut affinity = Family::counter(
        "tollgate_context_affinity_total",
        "Attempts of turns balanced by context, by whether they were at the endpoint that theirs belongs to.",
    );
    for target in handles.targets.values().map(AsRef::as_ref) {
        let TargetMetrics { shards, .. } = target;
        let model = ("model", target.alias().alias().as_str());
        let endpoint = ("endpoint", target.endpoint().id().as_str());
        for (slot, outcome) in slots::OUTCOMES.into_iter().enumerate() {
            let count = sum(shards, |cells| &cells.attempts, slot);
            attempts.nonzero(&[model, endpoint, ("outcome", outcome)], count);
        }
        for (slot, class) in slots::TOKENS.into_iter().enumerate() {
            let count = sum(shards, |cells| &cells.tokens, slot);
            tokens.nonzero(&[model, endpoint, ("class", class)], count);
        }
        cost.nonzero(&[model, endpoint], sum(shards, |cells| &cells.charges, 0));
        estimated.nonzero(&[model, endpoint], sum(shards, |cells| &cells.charges, 1));
        for (slot, lossy) in ["false", "true"].into_iter().enumerate() {
            let count = sum(shards, |cells| &cells.translations, slot);
            translations.nonzero(&[model, endpoint, ("lossy", lossy)], count);
        }
        for (slot, hit) in ["false", "true"].into_iter().enumerate() {
            let count = sum(shards, |cells| &cells.affinity, slot);
            affinity.nonzero(&[model, endpoint, ("hit", hit)], count);
        }
    }
    page.add(attempts);
    page.add(tokens);
    page.add(cost);
    page.add(estimated);
    page.add(translations);
    page.add(affinity);
}

/// How endpoints stand and what went over their connections.
fn endpoints(page: &mut Page, handles: &Handles) {
    let all = || handles.endpoints.values().map(AsRef::as_ref);
    endpoint_state(page, all());
    endpoint_times(page, all());

    let mut connections = Family::counter(
        "tollgate_upstream_connections_total",
        "Connections that attempts went over: new ones, and ones used before.",
    );
    let mut sent = Family::counter(
        "tollgate_upstream_request_bytes_total",
        "Bodies sent to upstreams, in bytes.",
    );
    let mut received = Family::counter(
        "tollgate_upstream_response_bytes_total",
        "Bodies received from upstreams, in bytes.",
    );
    for endpoint in all() {
        let id = ("endpoint", endpoint.id().as_str());
        let shards = &endpoint.shards;
        for (slot, reused) in ["false", "true"].into_iter().enumerate() {
            let count = sum(shards, |cells| &cells.connections, slot);
            connections.sample(&[id, ("reused", reused)], count);
        }
        sent.sample(&[id], sum(shards, |cells| &cells.request_bytes, 0));
        received.sample(&[id], sum(shards, |cells| &cells.response_bytes, 0));
    }
    page.add(connections);
    page.add(sent);
    page.add(received);
}

fn endpoint_state<'a>(page: &mut Page, endpoints: impl Iterator<Item = &'a EndpointMetrics>) {
    let mut healthy =
        Family::gauge("tollgate_upstream_healthy", "1 where the endpoint may be picked, else 0.");
    let mut in_flight =
        Family::gauge("tollgate_upstream_in_flight", "Attempts that have begun and not ended.");
    let mut ejections =
        Family::counter("tollgate_upstream_ejections_total", "Times an endpoint was taken out.");
    for endpoint in endpoints {
        let id = ("endpoint", endpoint.id().as_str());
        healthy.sample(&[id], u64::from(endpoint.healthy.load(Ordering::Relaxed)));
        in_flight.sample(&[id], endpoint.in_flight.load(Ordering::Relaxed) as u64);
        for (slot, reason) in slots::EJECTIONS.into_iter().enumerate() {
            let count = sum(&endpoint.shards, |cells| &cells.ejections, slot);
            ejections.sample(&[id, ("reason", reason)], count);
        }
    }
    page.add(healthy);
    page.add(in_flight);
    page.add(ejections);
}

fn endpoint_times<'a>(page: &mut Page, endpoints: impl Iterator<Item = &'a EndpointMetrics>) {
    let mut first_byte = Family::histogram(
        "tollgate_upstream_first_byte_seconds",
        "From an attempt's start to its answer's header.",
    );
    let mut total = Family::histogram(
        "tollgate_upstream_duration_seconds",
        "From an attempt's start to its end, where there was a connection.",
    );
    for endpoint in endpoints {
        let id = [("endpoint", endpoint.id().as_str())];
        let shards = &endpoint.shards;
        first_byte
            .distribution(&id, distribution(shards, |cells| &cells.first_byte, &REQUEST_BOUNDS));
        total.distribution(&id, distribution(shards, |cells| &cells.duration, &REQUEST_BOUNDS));
    }
    page.add(first_byte);
    page.add(total);
}
