/// Why a message could not be read. It goes to the dead letters with this as its reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body is not base64.
    #[error("body is not base64: {0}")]
    Base64(String),
    /// The bytes are not protobuf, or not of this schema.
    #[error("not a protobuf envelope: {0}")]
    Protobuf(String),
    /// A field is missing or malformed.
    #[error("field {field}: {problem}")]
    Field {
        /// The field, as the schema names it.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The envelope carries nothing, or something a later release added.
    #[error("payload missing or unknown to this release")]
    UnknownPayload,
}
