//! The status page: one file, which has nothing from elsewhere and reads /metrics.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use sha2::{Digest, Sha256};

/// The page, with what a browser is told that it may do.
pub struct Page {
    policy: HeaderValue,
}

impl Page {
    pub const TEXT: &str = include_str!("page.html");

    pub fn new() -> Self {
        let hash = |tag: &str| {
            let digest = Sha256::digest(element(tag).as_bytes());
            format!("'sha256-{}'", STANDARD.encode(digest))
        };
        // Its own script and style by their hashes, /metrics, and nothing else.
        let policy = format!(
            "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash("script"),
            hash("style"),
        );
        let policy = HeaderValue::from_str(&policy);
        Self { policy: policy.unwrap_or(HeaderValue::from_static("default-src 'none'")) }
    }

    /// The value of Content-Security-Policy.
    pub fn policy(&self) -> HeaderValue {
        self.policy.clone()
    }
}

/// What stands in the only element of the page with this tag.
fn element(tag: &str) -> &'static str {
    let (begin, end) = (format!("<{tag}>"), format!("</{tag}>"));
    let behind = Page::TEXT.split_once(&begin).map_or("", |(_, behind)| behind);
    behind.split_once(&end).map_or("", |(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::{Page, element};

    #[test]
    fn page_has_one_script_and_one_style_and_nothing_from_elsewhere() {
        for tag in ["script", "style"] {
            assert_eq!(Page::TEXT.matches(&format!("<{tag}")).count(), 1);
            assert!(!element(tag).trim().is_empty());
        }
        for elsewhere in
            ["http://", "https://", "//cdn", "@import", "url(", " src=", " style=", "onclick="]
        {
            let found = Page::TEXT.replace("http://www.w3.org/2000/svg", "");
            assert!(!found.contains(elsewhere), "{elsewhere}");
        }
        let policy = Page::new().policy();
        let policy = policy.to_str().expect("ASCII");
        assert_eq!(policy.matches("'sha256-").count(), 2);
        assert!(!policy.contains("unsafe"));
    }
}
