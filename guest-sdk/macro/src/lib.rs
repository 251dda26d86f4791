//! The attribute `#[leyden_guest::work]`. Use it through the crate `leyden-guest`.

mod expand;

use proc_macro::TokenStream;

/// Makes a function the Work of this component: see `leyden_guest::work`.
#[proc_macro_attribute]
pub fn work(options: TokenStream, function: TokenStream) -> TokenStream {
    expand::work(options.into(), function.into()).into()
}
