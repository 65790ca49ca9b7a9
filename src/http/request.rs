//! What every request says, whatever carries it.

/// The method of every request, and the blank behind it.
pub(crate) const METHOD: &str = "POST ";

/// The path behind the relay's base path, up to the number of the exchange, which makes each URL differ so
/// that no cache answers.
pub(crate) const PATH: &str = "/v1?n=";

/// The media type of requests and answers (RFC 2046 section 4.5.1).
pub(crate) const MEDIA_TYPE: &str = "application/octet-stream";

/// Defines the header fields once, in the two forms that their users want.
macro_rules! fields {
    ($($name:literal: $value:literal,)+) => {
        /// The header fields that every request has beside Host and Content-Length, as names and values.
        #[cfg(feature = "client")]
        pub(crate) const FIELDS: &[(&str, &str)] = &[$(($name, $value)),+];

        /// The same header fields as they stand in a request behind the value of Host.
        pub(crate) const FIELD_LINES: &str = concat!("\r\n", $($name, ": ", $value, "\r\n",)+);
    };
}

fields! {
    "Content-Type": "application/octet-stream",
    // The answer is to come as it is, in no other encoding.
    "Cache-Control": "no-store, no-transform",
}

#[cfg(all(test, feature = "client"))]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_media_type_that_answers_must_have() {
        assert_eq!(FIELDS[0], ("Content-Type", MEDIA_TYPE));
    }
}
