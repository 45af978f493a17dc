//! Issuers of tokens: values that mean nothing, or that would let others in, one a row.

use super::{check, check_more};

#[test]
fn issuers() {
    check_more(&[
        (
            "jwt: [{issuer: i, audience: [a], jwks: {url: 'http://keys.example.com/'}, tenant: demo}]",
            "12:46: jwt[0].jwks.url: the scheme must be `https` but for this machine's own addresses",
        ),
        (
            "jwt: [{issuer: i, audience: [a], jwks: {url: here}, tenant: demo}]",
            "12:46: jwt[0].jwks.url: is not a URL, such as `https://api.openai.com/v1`: relative URL without a base",
        ),
        (
            "jwt: [{issuer: i, audience: [a], jwks: {}, tenant: demo}]",
            "12:40: jwt[0].jwks: must have exactly one of `url` and `file`",
        ),
        (
            "jwt: [{issuer: i, audience: [a], jwks: {file: none.json}, tenant: demo}]",
            "12:47: jwt[0].jwks.file: `/nowhere/none.json` cannot be read: No such file or directory (os error 2)",
        ),
        (
            "jwt: [{issuer: i, audience: [a], jwks: {file: /dev/null}, tenant: demo}]",
            "12:47: jwt[0].jwks.file: `/dev/null` is not a set of JSON Web Keys: EOF while parsing a value at line 1 column 0",
        ),
        (
            "jwt: [{issuer: i, audience: [], jwks: {url: 'https://h/'}, tenant: demo}]",
            "12:29: jwt[0].audience: must name at least one audience, and none that is empty: without it, tokens made for other services would be accepted",
        ),
        (
            "jwt: [{issuer: i, audience: [a], jwks: {url: 'https://h/'}}]",
            "12:7: jwt[0]: must have exactly one of `tenant` and `claims.tenant`",
        ),
        (
            "jwt: [{issuer: i, audience: [a], jwks: {url: 'https://h/'}, tenant: demo, claims: {tenant: org}}]",
            "12:7: jwt[0]: must have exactly one of `tenant` and `claims.tenant`",
        ),
        (
            "jwt: [{issuer: i, audience: [a], jwks: {url: 'https://h/'}, tenant: dome}]",
            "12:69: jwt[0].tenant: `tenants` lists no `dome`",
        ),
        (
            "jwt: [{issuer: i, audience: [a], jwks: {url: 'https://h/'}, tenant: demo, algorithms: [HS256]}]",
            "12:88: jwt[0].algorithms[0]: no choice `HS256`: did you mean `ES256`? There are `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA`",
        ),
        (
            "jwt: [{issuer: i, audience: [a], jwks: {url: 'https://h/'}, tenant: demo, leeway_seconds: 301}]",
            "12:91: jwt[0].leeway_seconds: must be from 0 to 300, not 301",
        ),
    ]);
}

#[test]
fn a_tenant_by_claim_needs_tenants() {
    check(&[(
        "jwt: [{issuer: i, audience: [a], jwks: {url: 'https://h/'}, claims: {tenant: org}}]",
        "1:78: jwt[0].claims.tenant: needs `tenants`: a token's tenant must be one of them",
    )]);
}
