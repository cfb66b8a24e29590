//! What becomes of a request: the first route whose conditions all hold decides.

mod condition;
pub mod edits;
mod path;
mod redirect;

use std::net::IpAddr;
use std::sync::Arc;

use limpet_proto::http1::request_head::RequestHead;

use self::condition::Asked;
pub(crate) use self::path::normalized;
use crate::config::{ActionConfig, RedirectConfig, RouteConfig, StatsPage};
use crate::limit::rate::RateLimits;
use crate::request::local::LocalResponse;
use crate::upstream::Upstream;

/// All routes, in order.
#[derive(Debug)]
pub struct Routes {
    routes: Vec<Arc<Route>>,
    upstreams: Vec<Arc<Upstream>>,
}

/// One route: which requests it takes, and what becomes of them.
#[derive(Debug)]
pub struct Route {
    /// The configuration.
    pub config: RouteConfig,
    /// What becomes of the requests.
    pub action: Action,
    /// How many of them may come.
    pub limits: RateLimits,
    /// The largest request body in bytes, 0 for no limit.
    pub max_body_bytes: u64,
    listener: Option<usize>,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Action {
    /// An endpoint of this upstream answers it.
    Upstream(Arc<Upstream>),
    /// Its client is sent elsewhere.
    Redirect(RedirectConfig),
    /// It gets this response.
    Respond(LocalResponse),
    /// It gets this page of statistics.
    Stats(StatsPage),
}

impl Routes {
    /// Joins the configured routes with the upstreams and listeners that they name.
    ///
    /// # Errors
    /// The name that is unknown.
    pub fn new(configs: &[RouteConfig], upstreams: Vec<Arc<Upstream>>, listeners: &[String]) -> Result<Self, String> {
        let routes = configs.iter().map(|config| {
            let listener = match &config.listener {
                Some(name) => Some(listeners.iter().position(|listener| listener == name).ok_or_else(|| name.clone())?),
                None => None,
            };
            let action = Action::new(&config.action, &upstreams)?;
            let of_upstream = match &action {
                Action::Upstream(upstream) => upstream.config().max_body_bytes,
                Action::Redirect(_) | Action::Respond(_) | Action::Stats(_) => 0,
            };
            let max_body_bytes = config.max_body_bytes.unwrap_or(of_upstream);
            let limits = RateLimits::new(&config.rate_limits);
            Ok(Arc::new(Route { config: config.clone(), action, limits, max_body_bytes, listener }))
        });
        Ok(Self { routes: routes.collect::<Result<_, String>>()?, upstreams })
    }

    /// Returns the upstreams.
    pub fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// Returns the routes, in the order of the configuration.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// Finds the route of a request. `client` is its address, behind trusted proxies too.
    pub fn find(&self, listener: usize, client: IpAddr, request: &RequestHead<'_, '_>) -> Option<Arc<Route>> {
        let asked = Asked::new(request, client);
        let takes = |route: &&Arc<Route>| {
            route.listener.is_none_or(|of_route| of_route == listener) && asked.fulfils(&route.config.when)
        };
        self.routes.iter().find(takes).cloned()
    }
}

impl Route {
    /// Answers a request whose route has no upstream; `None` for one that has, that wants
    /// statistics, or that lacks the host to be sent to.
    pub fn answer(&self, head: &RequestHead<'_, '_>, client: IpAddr) -> Option<LocalResponse> {
        match &self.action {
            // Whoever has the numbers answers with them.
            Action::Upstream(_) | Action::Stats(_) => None,
            Action::Redirect(redirect) => {
                let place = redirect::place(&redirect.to, head, client)?;
                Some(LocalResponse::new(redirect.status).with_header("Location", place))
            }
            Action::Respond(response) => Some(response.clone()),
        }
    }
}

impl Action {
    fn new(config: &ActionConfig, upstreams: &[Arc<Upstream>]) -> Result<Self, String> {
        Ok(match config {
            ActionConfig::Upstream(name) => {
                let upstream = upstreams.iter().find(|upstream| upstream.name() == name);
                Self::Upstream(Arc::clone(upstream.ok_or_else(|| name.clone())?))
            }
            ActionConfig::Redirect(redirect) => Self::Redirect(redirect.clone()),
            ActionConfig::Respond(respond) if respond.body.is_empty() => {
                Self::Respond(LocalResponse::new(respond.status))
            }
            ActionConfig::Stats(page) => Self::Stats(page.clone()),
            ActionConfig::Respond(respond) => Self::Respond(
                LocalResponse::new(respond.status).with_body(&respond.content_type, respond.body.as_str()),
            ),
        })
    }
}
