//! `wasi:sockets/ip-name-lookup` for guests: only the names that the operator allowed.

use std::sync::Arc;
use std::task::Poll;

use wasmtime::component::{Accessor, HasData, Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup as p2;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, Pollable, SocketError, subscribe};
use wasmtime_wasi::p3::bindings::sockets::{ip_name_lookup as p3, types as p3_types};
use wasmtime_wasi::sockets::WasiSocketsCtxView;

use super::egress::{Egress, LookupError};
use super::instance::State;

/// Puts our look-up in place of the stock ones, for WASI 0.2 and 0.3.
pub(super) fn shadow(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    p2::add_to_linker::<State, Lookup>(linker, State::lookup)?;
    p3::add_to_linker::<State, Lookup>(linker, State::lookup)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Marks this module's implementation for the linker.
pub(super) struct Lookup;

impl HasData for Lookup {
    type Data<'a> = LookupView<'a>;
}

/// What a look-up needs of an instance.
pub(super) struct LookupView<'a> {
    pub(super) sockets: WasiSocketsCtxView<'a>,
    pub(super) egress: &'a Arc<Egress>,
}

type Found = Result<std::vec::IntoIter<IpAddress>, ErrorCode>;

/// A look-up under way or answered.
///
/// The interface's generated traits name wasmtime's own type for this resource, whose fields are
/// private. A resource is an index into the instance's table, so ours stands in the table and the
/// traits see its index.
enum Answer {
    Pending(std::pin::Pin<Box<dyn Future<Output = Found> + Send>>),
    Ready(Found),
}

type Stock = p2::ResolveAddressStream;

fn ours(stock: &Resource<Stock>) -> Resource<Answer> {
    Resource::new_borrow(stock.rep())
}

/// The look-up's interface shares its errors with `wasi:sockets/network`: the stock ones serve.
impl network::Host for LookupView<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        self.sockets.convert_error_code(error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.sockets.network_error_code(error)
    }
}

impl network::HostNetwork for LookupView<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.sockets, network)
    }
}

impl p2::Host for LookupView<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<Stock>, SocketError> {
        // The network resource is the permission to look names up: it must be a real one.
        self.sockets.table.get(&network)?;
        let egress = Arc::clone(self.egress);
        let looking = async move {
            match egress.resolve(&name).await {
                Ok(found) => {
                    let found: Vec<IpAddress> = found.into_iter().map(Into::into).collect();
                    Ok(found.into_iter())
                }
                Err(LookupError::Denied) => Err(ErrorCode::AccessDenied),
                Err(LookupError::NotFound) => Err(ErrorCode::NameUnresolvable),
            }
        };
        let answer = self
            .sockets
            .table
            .push(Answer::Pending(Box::pin(looking)))?;
        Ok(Resource::new_own(answer.rep()))
    }
}

impl p2::HostResolveAddressStream for LookupView<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<Stock>,
    ) -> Result<Option<IpAddress>, SocketError> {
        let answer = self.sockets.table.get_mut(&ours(&stream))?;
        // Polled without a waker: a guest that has to wait does so through `subscribe`.
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match answer.poll(&mut cx) {
            Poll::Pending => Err(ErrorCode::WouldBlock.into()),
            Poll::Ready(Ok(found)) => Ok(found.next()),
            Poll::Ready(Err(code)) => Err((*code).into()),
        }
    }

    fn subscribe(&mut self, stream: Resource<Stock>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.sockets.table, ours(&stream))
    }

    fn drop(&mut self, stream: Resource<Stock>) -> wasmtime::Result<()> {
        self.sockets
            .table
            .delete(Resource::<Answer>::new_own(stream.rep()))?;
        Ok(())
    }
}

impl Answer {
    fn poll(&mut self, cx: &mut std::task::Context<'_>) -> Poll<&mut Found> {
        if let Self::Pending(looking) = self {
            match looking.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(found) => *self = Self::Ready(found),
            }
        }
        match self {
            Self::Ready(found) => Poll::Ready(found),
            Self::Pending(_) => Poll::Pending,
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Answer {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx).map(|_| ())).await;
    }
}

impl p3::Host for LookupView<'_> {}

impl<T> p3::HostWithStore<T> for Lookup {
    async fn resolve_addresses(
        store: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Vec<p3_types::IpAddress>, p3::ErrorCode>> {
        let egress = store.with(|mut access| Arc::clone(access.get().egress));
        Ok(match egress.resolve(&name).await {
            Ok(found) => Ok(found.into_iter().map(Into::into).collect()),
            Err(LookupError::Denied) => Err(p3::ErrorCode::AccessDenied),
            Err(LookupError::NotFound) => Err(p3::ErrorCode::NameUnresolvable),
        })
    }
}
