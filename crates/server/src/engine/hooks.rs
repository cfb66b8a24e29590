//! Decides which functions of the application are called beside those of its sessions.

use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderMap;

use super::error::ConnectionError;
use super::head::Head;

pub(super) type ErrorHook = Arc<dyn Fn(&ConnectionError) + Send + Sync>;
pub(super) type HeadersHook = Arc<dyn Fn(&mut HeaderMap, &HeaderMap) + Send + Sync>;

/// The functions that have been set.
#[derive(Default)]
pub(super) struct Hooks {
    connection_error: RwLock<Option<ErrorHook>>,
    initial_headers: RwLock<Option<HeadersHook>>,
    headers: RwLock<Option<HeadersHook>>,
}

impl Hooks {
    pub(super) fn connection_error(&self) -> Option<ErrorHook> {
        get(&self.connection_error)
    }

    pub(super) fn set_connection_error(&self, hook: ErrorHook) {
        set(&self.connection_error, hook);
    }

    pub(super) fn set_initial_headers(&self, hook: HeadersHook) {
        set(&self.initial_headers, hook);
    }

    pub(super) fn set_headers(&self, hook: HeadersHook) {
        set(&self.headers, hook);
    }

    /// Lets the hooks change the headers of a response.
    pub(super) fn change_headers(&self, is_initial: bool, response: &mut HeaderMap, request: &Head) {
        if is_initial && let Some(hook) = get(&self.initial_headers) {
            hook(response, request.headers());
        }
        if let Some(hook) = get(&self.headers) {
            hook(response, request.headers());
        }
    }
}

fn get<T: Clone>(hook: &RwLock<Option<T>>) -> Option<T> {
    hook.read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn set<T>(hook: &RwLock<Option<T>>, new: T) {
    *hook.write().unwrap_or_else(PoisonError::into_inner) = Some(new);
}
