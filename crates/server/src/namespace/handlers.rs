//! Decides how the handlers of a namespace are kept. The children of a dynamic namespace share them.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::handler::{OnConnect, OnSocket};
use crate::server_event::ServerEvent;

pub(crate) type OnServerEvent = Arc<dyn Fn(ServerEvent) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

#[derive(Default)]
pub(crate) struct NamespaceHandlers(RwLock<Lists>);

#[derive(Default)]
struct Lists {
    connection: Arc<Vec<OnSocket>>,
    middlewares: Arc<Vec<OnConnect>>,
    server_events: Vec<(String, OnServerEvent)>,
}

impl NamespaceHandlers {
    pub(crate) fn add_connection(&self, handler: OnSocket) {
        Arc::make_mut(&mut self.write().connection).push(handler);
    }

    pub(crate) fn add_middleware(&self, middleware: OnConnect) {
        Arc::make_mut(&mut self.write().middlewares).push(middleware);
    }

    pub(crate) fn add_server_event(&self, name: String, handler: OnServerEvent) {
        self.write().server_events.push((name, handler));
    }

    pub(crate) fn connection(&self) -> Arc<Vec<OnSocket>> {
        self.read().connection.clone()
    }

    pub(crate) fn middlewares(&self) -> Arc<Vec<OnConnect>> {
        self.read().middlewares.clone()
    }

    pub(crate) fn server_events(&self, name: &str) -> Vec<OnServerEvent> {
        let lists = self.read();
        let named = lists.server_events.iter().filter(|(own, _)| own == name);
        named.map(|(_, handler)| handler.clone()).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Lists> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Lists> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
