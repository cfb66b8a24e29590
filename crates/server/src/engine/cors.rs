//! Decides which headers tell a browser that a page of another origin may talk to us (CORS), as the `cors` middleware
//! of Node does.

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::head::Head;

/// Which origins are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Every one, as `*`. Browsers take no credentials with this.
    Any,
    /// This one; it is named to every client.
    One(String),
    /// Those of the list; one that is asks gets its own name back.
    List(Vec<String>),
    /// Every one, and each gets its own name back, so that credentials can be used.
    Reflect,
}

/// How requests of other origins are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Which origins are allowed; any.
    pub origins: Origins,
    /// The methods that a preflight is told; those of the `cors` middleware.
    pub methods: Vec<String>,
    /// The headers that requests may have; `None` allows what is asked for.
    pub allowed_headers: Option<Vec<String>>,
    /// The headers that pages may read; none.
    pub exposed_headers: Vec<String>,
    /// Whether cookies may come along; no.
    pub credentials: bool,
    /// How long a preflight counts; the browser decides.
    pub max_age: Option<Duration>,
}

impl Default for Cors {
    fn default() -> Self {
        Self {
            origins: Origins::Any,
            methods: ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"].map(str::to_owned).to_vec(),
            allowed_headers: None,
            exposed_headers: Vec::new(),
            credentials: false,
            max_age: None,
        }
    }
}

impl Cors {
    /// Allows the origins of a list, with credentials.
    pub fn origins<S: Into<String>>(origins: impl IntoIterator<Item = S>) -> Self {
        let origins = Origins::List(origins.into_iter().map(Into::into).collect());
        Self { origins, credentials: true, ..Self::default() }
    }

    /// Adds what every response carries.
    pub(super) fn write(&self, request: &Head, response: &mut HeaderMap) {
        self.write_origin(request, response);
        if self.credentials {
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        put_list(response, ACCESS_CONTROL_EXPOSE_HEADERS, &self.exposed_headers);
    }

    /// Adds what the answer to a preflight carries.
    pub(super) fn write_preflight(&self, request: &Head, response: &mut HeaderMap) {
        self.write(request, response);
        put_list(response, ACCESS_CONTROL_ALLOW_METHODS, &self.methods);
        match &self.allowed_headers {
            Some(headers) => put_list(response, ACCESS_CONTROL_ALLOW_HEADERS, headers),
            None => {
                vary(response, "Access-Control-Request-Headers");
                let asked = request.get(&ACCESS_CONTROL_REQUEST_HEADERS).filter(|asked| !asked.is_empty());
                if let Some(asked) = asked.and_then(|asked| HeaderValue::from_bytes(asked).ok()) {
                    response.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked);
                }
            }
        }
        if let Some(age) = self.max_age {
            response.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(age.as_secs()));
        }
    }

    fn write_origin(&self, request: &Head, response: &mut HeaderMap) {
        let origin = request.get(&ORIGIN);
        let reflected = |origin: &[u8]| HeaderValue::from_bytes(origin).ok();
        let allowed = match &self.origins {
            Origins::Any => {
                response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
                return;
            }
            Origins::One(one) => HeaderValue::from_str(one).ok(),
            Origins::List(list) => {
                origin.filter(|origin| list.iter().any(|one| one.as_bytes() == *origin)).and_then(reflected)
            }
            Origins::Reflect => origin.and_then(reflected),
        };
        if let Some(allowed) = allowed {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        }
        vary(response, "Origin");
    }
}

/// Adds a word to the Vary header.
fn vary(response: &mut HeaderMap, word: &'static str) {
    let value = match response.get(VARY).and_then(|vary| vary.to_str().ok()) {
        Some(vary) => HeaderValue::try_from(format!("{vary}, {word}")).ok(),
        None => Some(HeaderValue::from_static(word)),
    };
    if let Some(value) = value {
        response.insert(VARY, value);
    }
}

fn put_list(response: &mut HeaderMap, name: HeaderName, list: &[String]) {
    if let (false, Ok(value)) = (list.is_empty(), HeaderValue::try_from(list.join(","))) {
        response.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn asked(pairs: &[(&'static str, &'static str)]) -> Head {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.headers = headers(pairs);
        parts.into()
    }

    fn written(cors: &Cors, request: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut response = HeaderMap::new();
        cors.write(&asked(request), &mut response);
        response
    }

    #[test]
    fn any_origin_is_a_star() {
        let star = headers(&[("access-control-allow-origin", "*")]);
        assert_eq!(written(&Cors::default(), &[("origin", "http://a")]), star);
        assert_eq!(written(&Cors::default(), &[]), star);
    }

    #[test]
    fn an_origin_of_the_list_gets_its_name() {
        let cors = Cors::origins(["http://a", "http://b"]);
        let allowed = headers(&[
            ("access-control-allow-origin", "http://b"),
            ("access-control-allow-credentials", "true"),
            ("vary", "Origin"),
        ]);
        assert_eq!(written(&cors, &[("origin", "http://b")]), allowed);
        let refused = headers(&[("access-control-allow-credentials", "true"), ("vary", "Origin")]);
        assert_eq!(written(&cors, &[("origin", "http://c")]), refused);
    }

    #[test]
    fn a_preflight_is_told_methods_and_headers() {
        let cors = Cors { origins: Origins::Reflect, max_age: Some(Duration::from_secs(9)), ..Cors::default() };
        let mut response = HeaderMap::new();
        let request = asked(&[("origin", "http://a"), ("access-control-request-headers", "x-a,x-b")]);
        cors.write_preflight(&request, &mut response);
        let expected = headers(&[
            ("access-control-allow-origin", "http://a"),
            ("vary", "Origin, Access-Control-Request-Headers"),
            ("access-control-allow-methods", "GET,HEAD,PUT,PATCH,POST,DELETE"),
            ("access-control-allow-headers", "x-a,x-b"),
            ("access-control-max-age", "9"),
        ]);
        assert_eq!(response, expected);
    }
}
