//! Every way in which a request can fail, and what each means for the client.

/// What went wrong, from the point of view of whoever must act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No credential in any of the headers that may carry one.
    Unauthenticated,
    /// A credential that names no key.
    InvalidKey,
    /// A key past its `expires_at`.
    KeyExpired,
    /// A key with `enabled: false`.
    KeyDisabled,
    /// A client certificate that is of no key, or not accepted any more.
    InvalidCertificate,
    /// A token (JWT) that is not genuine, or not for us.
    InvalidToken,
    /// A token past its `exp`.
    TokenExpired,
    /// A genuine token whose claims give no access here.
    TokenNotPermitted,
    /// The public keys of a token's issuer could not be fetched yet.
    TokenKeysUnavailable,
    /// The path is not served.
    NotFound,
    /// The path is served, with another method.
    MethodNotAllowed,
    /// The content type cannot be read.
    UnsupportedMediaType,
    /// The body is over `body_bytes_max`.
    BodyTooLarge,
    /// The body did not arrive within the time allowed for it.
    BodyTimeout,
    /// The body is not what its content type says.
    InvalidBody,
    /// The body names no model.
    MissingModel,
    /// The model is unknown, or not available to this key: both look the same to the caller.
    UnknownModel,
    /// The model needs an approval that the tenant does not have.
    ModelNeedsApproval,
    /// What keeps requests for access does not work.
    AccessUnavailable,
    /// A parameter that the configuration refuses.
    ParameterRefused,
    /// The context is not at the version that the client believes.
    ContextConflict,
    /// Another turn of the same context is under way.
    ContextBusy,
    /// The context is unknown, or another tenant's: both look the same to the caller.
    ContextNotFound,
    /// The conversation does not fit the model's window.
    ContextTooLong,
    /// A limit of what is kept would be exceeded.
    ContextLimit,
    /// The context is not at the version that `If-Match` names.
    ContextPrecondition,
    /// A version of the context protocol that is not spoken here.
    ContextProtocol,
    /// A JSON Patch or JSON Merge Patch that cannot be applied.
    DeltaRefused,
    /// The prompt of a model or tenant cannot be made of the context's data.
    PromptTemplate,
    /// The store of contexts does not work.
    ContextStore,
    /// No provider of the model serves what is asked for.
    UnsupportedOperation,
    /// What the model's provider cannot be told, where the configuration refuses to leave it out.
    Untranslatable,
    /// The model may be served at a place that has no price, and the configuration refuses that.
    Unpriced,
    /// A limit is reached: later there is room again.
    LimitExceeded,
    /// The request alone is more than a limit allows.
    BeyondLimit,
    /// A budget does not suffice for the request.
    BudgetExceeded,
    /// What is left of a limit that several gateways share cannot be known now.
    QuotaUnavailable,
    /// Every candidate answered 429.
    UpstreamRateLimited,
    /// No connection to any candidate could be made.
    UpstreamUnreachable,
    /// The upstream was too slow: first byte, between bytes, or the whole.
    UpstreamTimeout,
    /// The upstream's answer broke off, or was not HTTP.
    UpstreamBroken,
    /// An upstream refused the gateway's own credential (401 or 403).
    UpstreamCredential,
    /// The gateway has no valid credential for any candidate's provider now.
    CredentialUnavailable,
    /// Another error status of the upstream after all attempts were used.
    UpstreamStatus,
    /// The client went away before its answer was complete.
    ClientGone,
    /// A fault of the gateway itself.
    Internal,
}

impl Kind {
    /// Every kind, in order of declaration; `Internal` stays the last.
    pub const ALL: [Kind; Kind::Internal as usize + 1] = [
        Kind::Unauthenticated,
        Kind::InvalidKey,
        Kind::KeyExpired,
        Kind::KeyDisabled,
        Kind::InvalidCertificate,
        Kind::InvalidToken,
        Kind::TokenExpired,
        Kind::TokenNotPermitted,
        Kind::TokenKeysUnavailable,
        Kind::NotFound,
        Kind::MethodNotAllowed,
        Kind::UnsupportedMediaType,
        Kind::BodyTooLarge,
        Kind::BodyTimeout,
        Kind::InvalidBody,
        Kind::MissingModel,
        Kind::UnknownModel,
        Kind::ModelNeedsApproval,
        Kind::AccessUnavailable,
        Kind::ParameterRefused,
        Kind::ContextConflict,
        Kind::ContextBusy,
        Kind::ContextNotFound,
        Kind::ContextTooLong,
        Kind::ContextLimit,
        Kind::ContextPrecondition,
        Kind::ContextProtocol,
        Kind::DeltaRefused,
        Kind::PromptTemplate,
        Kind::ContextStore,
        Kind::UnsupportedOperation,
        Kind::Untranslatable,
        Kind::Unpriced,
        Kind::LimitExceeded,
        Kind::BeyondLimit,
        Kind::BudgetExceeded,
        Kind::QuotaUnavailable,
        Kind::UpstreamRateLimited,
        Kind::UpstreamUnreachable,
        Kind::UpstreamTimeout,
        Kind::UpstreamBroken,
        Kind::UpstreamCredential,
        Kind::CredentialUnavailable,
        Kind::UpstreamStatus,
        Kind::ClientGone,
        Kind::Internal,
    ];

    /// The HTTP status of the answer. 499 is never sent: it marks a client that left (nginx's usage).
    pub const fn status(self) -> u16 {
        match self {
            Kind::Unauthenticated
            | Kind::InvalidKey
            | Kind::KeyExpired
            | Kind::KeyDisabled
            | Kind::InvalidCertificate
            | Kind::InvalidToken
            | Kind::TokenExpired => 401,
            Kind::NotFound | Kind::UnknownModel | Kind::ContextNotFound => 404,
            Kind::MethodNotAllowed => 405,
            Kind::BodyTimeout => 408,
            Kind::ContextConflict | Kind::ContextBusy => 409,
            Kind::ContextPrecondition => 412,
            Kind::BodyTooLarge | Kind::ContextLimit => 413,
            Kind::UnsupportedMediaType => 415,
            Kind::DeltaRefused | Kind::PromptTemplate => 422,
            Kind::InvalidBody
            | Kind::MissingModel
            | Kind::ParameterRefused
            | Kind::UnsupportedOperation
            | Kind::Untranslatable
            | Kind::ContextTooLong
            | Kind::ContextProtocol => 400,
            Kind::TokenNotPermitted | Kind::Unpriced | Kind::ModelNeedsApproval => 403,
            Kind::LimitExceeded
            | Kind::BeyondLimit
            | Kind::BudgetExceeded
            | Kind::UpstreamRateLimited => 429,
            Kind::ClientGone => 499,
            Kind::Internal => 500,
            Kind::UpstreamUnreachable
            | Kind::UpstreamBroken
            | Kind::UpstreamCredential
            | Kind::UpstreamStatus => 502,
            Kind::ContextStore
            | Kind::AccessUnavailable
            | Kind::TokenKeysUnavailable
            | Kind::CredentialUnavailable
            | Kind::QuotaUnavailable => 503,
            Kind::UpstreamTimeout => 504,
        }
    }

    /// `error.code` of OpenAI's error object, and the label in metrics and the access log.
    pub const fn code(self) -> &'static str {
        match self {
            Kind::Unauthenticated => "missing_api_key",
            Kind::InvalidKey => "invalid_api_key",
            Kind::KeyExpired => "api_key_expired",
            Kind::KeyDisabled => "api_key_disabled",
            Kind::InvalidCertificate => "invalid_certificate",
            Kind::InvalidToken => "invalid_token",
            Kind::TokenExpired => "token_expired",
            Kind::TokenNotPermitted => "token_not_permitted",
            Kind::TokenKeysUnavailable => "token_keys_unavailable",
            Kind::NotFound => "not_found",
            Kind::MethodNotAllowed => "method_not_allowed",
            Kind::UnsupportedMediaType => "unsupported_media_type",
            Kind::BodyTooLarge => "request_too_large",
            Kind::BodyTimeout => "request_timeout",
            Kind::InvalidBody => "invalid_body",
            Kind::MissingModel => "missing_model",
            Kind::UnknownModel => "model_not_found",
            Kind::ModelNeedsApproval => "model_needs_approval",
            Kind::AccessUnavailable => "access_requests_unavailable",
            Kind::ParameterRefused => "parameter_refused",
            Kind::ContextConflict => "context_conflict",
            Kind::ContextBusy => "context_busy",
            Kind::ContextNotFound => "context_not_found",
            Kind::ContextTooLong => "context_too_long",
            Kind::ContextLimit => "context_limit_exceeded",
            Kind::ContextPrecondition => "context_precondition_failed",
            Kind::ContextProtocol => "context_protocol_unsupported",
            Kind::DeltaRefused => "context_delta_refused",
            Kind::PromptTemplate => "prompt_template_failed",
            Kind::ContextStore => "context_store_unavailable",
            Kind::UnsupportedOperation => "unsupported_operation",
            Kind::Untranslatable => "untranslatable",
            Kind::Unpriced => "model_unpriced",
            Kind::LimitExceeded => "limit_exceeded",
            Kind::BeyondLimit => "request_over_limit",
            Kind::BudgetExceeded => "insufficient_quota",
            Kind::QuotaUnavailable => "quota_unavailable",
            Kind::UpstreamRateLimited => "rate_limit_exceeded",
            Kind::UpstreamUnreachable => "upstream_unreachable",
            Kind::UpstreamTimeout => "upstream_timeout",
            Kind::UpstreamBroken => "upstream_broken",
            Kind::UpstreamCredential => "upstream_credential",
            Kind::CredentialUnavailable => "credential_unavailable",
            Kind::UpstreamStatus => "upstream_error",
            Kind::ClientGone => "client_gone",
            Kind::Internal => "internal_error",
        }
    }

    /// Whether the same request may succeed when it is sent again. OpenAI's SDKs go by it
    /// (`x-should-retry`), and would otherwise ask again after every 5xx.
    pub const fn may_pass_later(self) -> bool {
        match self {
            Kind::BodyTimeout
            | Kind::TokenKeysUnavailable
            | Kind::ContextBusy
            | Kind::ContextStore
            | Kind::AccessUnavailable
            | Kind::LimitExceeded
            | Kind::QuotaUnavailable
            | Kind::UpstreamRateLimited
            | Kind::UpstreamUnreachable
            | Kind::UpstreamTimeout
            | Kind::UpstreamBroken
            | Kind::CredentialUnavailable
            | Kind::UpstreamStatus
            | Kind::Internal => true,
            Kind::Unauthenticated
            | Kind::InvalidKey
            | Kind::KeyExpired
            | Kind::KeyDisabled
            | Kind::InvalidCertificate
            | Kind::InvalidToken
            | Kind::TokenExpired
            | Kind::TokenNotPermitted
            | Kind::NotFound
            | Kind::UnknownModel
            | Kind::ModelNeedsApproval
            | Kind::MethodNotAllowed
            | Kind::BodyTooLarge
            | Kind::UnsupportedMediaType
            | Kind::InvalidBody
            | Kind::MissingModel
            | Kind::ParameterRefused
            | Kind::ContextConflict
            | Kind::ContextNotFound
            | Kind::ContextTooLong
            | Kind::ContextLimit
            | Kind::ContextPrecondition
            | Kind::ContextProtocol
            | Kind::DeltaRefused
            | Kind::PromptTemplate
            | Kind::UnsupportedOperation
            | Kind::Untranslatable
            | Kind::Unpriced
            | Kind::BeyondLimit
            | Kind::BudgetExceeded
            | Kind::UpstreamCredential
            | Kind::ClientGone => false,
        }
    }

    /// `error.type` of OpenAI's error object (OpenAI API reference, "Error codes").
    pub const fn openai_type(self) -> &'static str {
        match self {
            Kind::Unauthenticated
            | Kind::InvalidKey
            | Kind::KeyExpired
            | Kind::KeyDisabled
            | Kind::InvalidCertificate
            | Kind::InvalidToken
            | Kind::TokenExpired => "authentication_error",
            Kind::NotFound
            | Kind::UnknownModel
            | Kind::MethodNotAllowed
            | Kind::BodyTimeout
            | Kind::BodyTooLarge
            | Kind::UnsupportedMediaType
            | Kind::InvalidBody
            | Kind::MissingModel
            | Kind::ParameterRefused
            | Kind::ContextBusy
            | Kind::ContextConflict
            | Kind::ContextNotFound
            | Kind::ContextTooLong
            | Kind::ContextLimit
            | Kind::ContextPrecondition
            | Kind::ContextProtocol
            | Kind::DeltaRefused
            | Kind::PromptTemplate
            | Kind::UnsupportedOperation
            | Kind::Untranslatable
            | Kind::ClientGone => "invalid_request_error",
            Kind::TokenNotPermitted | Kind::Unpriced | Kind::ModelNeedsApproval => {
                "permission_error"
            }
            Kind::BudgetExceeded => "insufficient_quota",
            Kind::LimitExceeded | Kind::BeyondLimit | Kind::UpstreamRateLimited => {
                "rate_limit_error"
            }
            Kind::ContextStore
            | Kind::AccessUnavailable
            | Kind::TokenKeysUnavailable
            | Kind::UpstreamUnreachable
            | Kind::UpstreamTimeout
            | Kind::UpstreamBroken
            | Kind::UpstreamCredential
            | Kind::QuotaUnavailable
            | Kind::CredentialUnavailable
            | Kind::UpstreamStatus
            | Kind::Internal => "server_error",
        }
    }
}
