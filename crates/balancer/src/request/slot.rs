//! Waits for a slot of an endpoint, where endpoints have a limit of requests in progress.
//!
//! The slot belongs to the [`Request`]: it is given back with it, or goes on with the tunnel that the request becomes.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use limpet_proto::http1::request_head::RequestHead;

use super::answer::Error;
use super::attempt::Failure;
use super::prepare::Request;
use crate::client::Client;
use crate::config::{Balance, Hash, HashKey, UpstreamConfig};
use crate::upstream::balance::Wish;
use crate::upstream::balance::hash::Key;
use crate::upstream::endpoint::{Endpoint, EndpointId, Load};
use crate::upstream::queue::{Entry, Place, Refusal, Slot, Waiting};

/// Takes the key that `balance = "hash"` needs out of a head; `None` if it is the address of the client, or is not there.
pub(super) fn key(config: &UpstreamConfig, head: &RequestHead<'_, '_>) -> Option<Box<[u8]>> {
    if config.balance != Balance::Hash {
        return None;
    }
    let key = match &config.hash_key {
        HashKey::Client => return None,
        HashKey::Path => head.target.path().as_bytes(),
        HashKey::Header(name) => config.hash.part_of_header(head.lines.named(name).next()?),
        HashKey::Query(name) => {
            let mut pairs = head.target.query()?.split('&');
            pairs.find_map(|pair| pair.split_once('=').filter(|(key, _)| key == name))?.1.as_bytes()
        }
    };
    Some(key.into())
}

/// Chooses the endpoint of a request that is bound to none, by the hash of its affinity if there is one, and waits
/// until it may go there.
///
/// # Errors
/// [`Error`] when there is none, or the request has waited in vain.
pub(super) async fn place(
    client: &mut Client,
    request: &mut Request,
    by_affinity: Option<(Hash, Key<'_>)>,
    tried: &mut Vec<EndpointId>,
) -> Result<Load, Error> {
    // The slot at the endpoint that has failed.
    request.slot = None;
    let config = request.upstream.config();
    let by_client = config.balance == Balance::Source || config.hash_key == HashKey::Client;
    let hash_key = request.hash_key.take();
    let key = match &hash_key {
        _ if let Some((_, key)) = by_affinity => Some(key),
        _ if by_client => Some(Key::Address(request.client)),
        key => key.as_deref().map(Key::Text),
    };
    let session = request.is_handshake() || request.upgrade;
    let placed = loop {
        match request.upstream.place(&Wish { key, hash: by_affinity.map(|(hash, _)| hash), tried, session }) {
            Ok(Place::At(load, Entry::Now(slot))) => {
                request.slot = slot;
                break Ok(load);
            }
            Ok(Place::At(load, Entry::Later(waiting))) => match Box::pin(wait(client, request, waiting)).await {
                Ok(slot) => {
                    request.slot = Some(slot);
                    break Ok(load);
                }
                // It went away: another one takes the request.
                Err(Failure::Queue(Refusal::Gone)) => tried.push(load.endpoint().id()),
                Err(failure) => break Err(failure.into()),
            },
            Ok(Place::Anywhere(waiting)) => match Box::pin(wait(client, request, waiting)).await {
                Ok(slot) => {
                    let load = slot.endpoint().map(Load::take);
                    request.slot = Some(slot);
                    break load.ok_or(Error::NoEndpoint);
                }
                Err(failure) => break Err(failure.into()),
            },
            Err(Refusal::NoEndpoint) => break Err(Error::NoEndpoint),
            Err(refusal) => break Err(Failure::Queue(refusal).into()),
        }
    };
    request.hash_key = hash_key;
    placed
}

/// Waits until a request may go to this endpoint, to which its session is bound; at once if it has its slot.
///
/// # Errors
/// [`Failure::Queue`] when it has waited in vain.
pub(super) async fn hold(client: &mut Client, request: &mut Request, endpoint: &Arc<Endpoint>) -> Result<(), Failure> {
    if endpoint.slots() == 0 || request.slot.as_ref().is_some_and(|slot| slot.is_of(endpoint)) {
        return Ok(());
    }
    request.slot = None;
    request.slot = match request.upstream.enter(endpoint).map_err(Failure::Queue)? {
        Entry::Now(slot) => slot,
        Entry::Later(waiting) => Some(Box::pin(wait(client, request, waiting)).await?),
    };
    Ok(())
}

/// Waits in a queue, for as long as is allowed and the client is there. That a client has gone is seen once its body has
/// arrived.
async fn wait(client: &mut Client, request: &mut Request, mut waiting: Waiting) -> Result<Slot, Failure> {
    client.deadline().set(request.upstream.config().queue_timeout);
    let since = Instant::now();
    let slot = poll_fn(|cx| {
        if let Poll::Ready(slot) = Pin::new(&mut waiting).poll(cx) {
            return Poll::Ready(slot.ok_or(Failure::Queue(Refusal::Gone)));
        }
        if client.body_is_done()
            && let Poll::Ready(error) = client.poll_gone(cx)
        {
            return Poll::Ready(Err(error.into()));
        }
        client.deadline().poll(cx).map(|()| Err(Failure::Queue(Refusal::Timeout)))
    })
    .await;
    request.queued += since.elapsed();
    slot
}
