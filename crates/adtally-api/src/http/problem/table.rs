//! The table of problems: code, status, title.

use actix_web::http::StatusCode;

macro_rules! problem_codes {
    ($($(#[$doc:meta])* $name:ident = $status:ident $code:literal $title:literal,)*) => {
        /// The kinds of problem the API answers.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum ProblemCode { $($(#[$doc])* $name,)* }

        impl ProblemCode {
            /// Every kind.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable code on the wire.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// The kind in words.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

problem_codes! {
    /// The body is not JSON, or not of a JSON type the route takes.
    MalformedJson = BAD_REQUEST "malformed_json" "The body is not the JSON this route takes",
    /// The body is not what its `Content-Encoding` says.
    MalformedEncoding = BAD_REQUEST "malformed_encoding" "The body is not encoded as it says",
    /// The request ended early or breaks HTTP.
    MalformedRequest = BAD_REQUEST "malformed_request" "The request cannot be read",
    /// A query parameter breaks its rule.
    InvalidParameter = BAD_REQUEST "invalid_parameter" "A query parameter is wrong",
    /// The header `x-adtally-source` breaks its rule.
    InvalidSource = BAD_REQUEST "invalid_source" "The header x-adtally-source is wrong",
    /// A page of another origin asks for a change.
    ForeignOrigin = FORBIDDEN "foreign_origin" "The request comes from another origin",
    /// The name of the host is none of the API's.
    HostNotAllowed = MISDIRECTED_REQUEST "host_not_allowed" "The API is not known by this host name",
    /// No such route or resource.
    NotFound = NOT_FOUND "not_found" "There is nothing here",
    /// The route has other methods.
    MethodNotAllowed = METHOD_NOT_ALLOWED "method_not_allowed" "The route has no such method",
    /// The body took too long to arrive.
    BodyTimeout = REQUEST_TIMEOUT "body_timeout" "The body did not arrive in time",
    /// The id is taken.
    AlreadyExists = CONFLICT "already_exists" "The id is taken",
    /// The body is longer than the route takes.
    BodyTooLarge = PAYLOAD_TOO_LARGE "body_too_large" "The body is too large",
    /// The body holds more events than one request may.
    TooManyEvents = PAYLOAD_TOO_LARGE "too_many_events" "The body holds too many events",
    /// The content type is not one the route takes.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported_media_type"
        "The content type is not supported",
    /// The content encoding is not one the route takes.
    UnsupportedEncoding = UNSUPPORTED_MEDIA_TYPE "unsupported_encoding"
        "The content encoding is not supported",
    /// A dead letter that was requeued cannot be discarded.
    AlreadyRequeued = CONFLICT "already_requeued" "The dead letter was requeued",
    /// Nobody knows where a dead letter could be put back.
    NotRequeueable = UNPROCESSABLE_ENTITY "not_requeueable" "The dead letter cannot be requeued",
    /// Fields of the body break their rules.
    InvalidFields = UNPROCESSABLE_ENTITY "invalid_fields" "Fields of the body are wrong",
    /// The period holds more hours or days than one answer may.
    TooManyBuckets = UNPROCESSABLE_ENTITY "too_many_buckets" "The period is too long",
    /// A fault on our side.
    Internal = INTERNAL_SERVER_ERROR "internal" "Something is wrong with the server",
    /// PostgreSQL refuses what the server asks, until a person acts: a grant, a column or a migration is
    /// missing. Not a 503: clients and proxies try those again.
    DatabaseRefused = INTERNAL_SERVER_ERROR "database_refused"
        "The database refuses what the server asks",
    /// None of the events could be kept, or it is unknown which.
    NotKept = SERVICE_UNAVAILABLE "not_kept" "The events could not be kept now",
    /// The process holds as many request bodies as it may.
    Overloaded = SERVICE_UNAVAILABLE "overloaded" "The server is overloaded",
    /// RabbitMQ is away, or took no message.
    BrokerUnavailable = SERVICE_UNAVAILABLE "broker_unavailable" "The broker took no message",
    /// PostgreSQL is away.
    DatabaseUnavailable = SERVICE_UNAVAILABLE "database_unavailable" "The database is away",
    /// The directory of ads was not loaded since the process started.
    AdsNotLoaded = SERVICE_UNAVAILABLE "ads_not_loaded" "The ads are not loaded yet",
}
