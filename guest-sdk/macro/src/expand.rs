//! From a function to a Work: what is refused, and what is generated.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Error, FnArg, Ident, ItemFn, Result, ReturnType, Type};

/// How input and output are written.
enum Format {
    Json,
    Bytes,
}

/// The function itself, and, beside it, what calls it; or, beside it, what is wrong with it.
///
/// In both cases the function stays, so that nothing but the attribute's own complaint is shown.
pub(crate) fn work(options: TokenStream, item: TokenStream) -> TokenStream {
    let made = generate(options, item.clone()).unwrap_or_else(Error::into_compile_error);
    quote!(#item #made)
}

fn generate(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let format = read_format(options)?;
    let function: ItemFn = syn::parse2(item).map_err(|error| {
        let message = "`#[leyden_guest::work]` is for a function";
        Error::new(error.span(), message)
    })?;
    check_signature(&function)?;
    let result = result_type(&function)?;
    let name = &function.sig.ident;
    let call = match (format, argument(&function)?) {
        (Format::Bytes, None) => {
            return Err(Error::new(
                function.sig.paren_token.span.join(),
                "a Work of bytes takes its input: `input: Vec<u8>`",
            ));
        }
        (Format::Bytes, Some(argument)) => {
            let input = quote_spanned!(argument.span()=> let input: #argument = input;);
            quote_spanned!(result.span()=> #input ::leyden_guest::__private::bytes(#name(input)))
        }
        (Format::Json, None) => {
            quote_spanned!(result.span()=> ::leyden_guest::__private::json(#name()))
        }
        (Format::Json, Some(argument)) => {
            let input = quote_spanned!(argument.span()=>
                ::leyden_guest::__private::read_input::<#argument>(&input)?
            );
            quote_spanned!(result.span()=> ::leyden_guest::__private::json(#name(#input)))
        }
    };
    // Natively nothing calls it, but its types are checked.
    Ok(quote! {
        const _: () = {
            #[allow(dead_code, unused_variables)]
            fn run(
                input: ::std::vec::Vec<u8>,
            ) -> ::core::result::Result<::std::vec::Vec<u8>, ::std::string::String> {
                #call
            }
            ::leyden_guest::__export_work!(run);
        };
    })
}

fn read_format(options: TokenStream) -> Result<Format> {
    if options.is_empty() {
        return Ok(Format::Json);
    }
    let span = options.span();
    match Parser::parse2(<Ident as syn::parse::Parse>::parse, options) {
        Ok(word) if word == "bytes" => Ok(Format::Bytes),
        Ok(word) if word == "json" => Ok(Format::Json),
        _ => Err(Error::new(
            span,
            "the only option is `bytes`: `#[leyden_guest::work(bytes)]`",
        )),
    }
}

/// What a Work's function cannot be, whatever its argument and its result.
fn check_signature(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    let refuse = |at: Span, message| Err(Error::new(at, message));
    if let Some(word) = &signature.asyncness {
        return refuse(word.span(), "a Work's function cannot be `async`");
    }
    if !signature.generics.params.is_empty() {
        return refuse(
            signature.generics.span(),
            "a Work's function cannot be generic: its host would have to choose the types",
        );
    }
    if let Some(abi) = &signature.abi {
        return refuse(abi.span(), "a Work's function is an ordinary Rust function");
    }
    if let Some(dots) = &signature.variadic {
        return refuse(
            dots.span(),
            "a Work's function is an ordinary Rust function",
        );
    }
    Ok(())
}

/// The type of the argument, if the function has one.
fn argument(function: &ItemFn) -> Result<Option<&Type>> {
    let mut arguments = function.sig.inputs.iter();
    let first = match arguments.next() {
        None => return Ok(None),
        Some(FnArg::Receiver(receiver)) => {
            let message = "a Work is a free function: it has no `self`";
            return Err(Error::new(receiver.span(), message));
        }
        Some(FnArg::Typed(first)) => first,
    };
    if let Some(second) = arguments.next() {
        return Err(Error::new(
            second.span(),
            "a Work has one input: make the arguments a tuple or a struct",
        ));
    }
    let argument = first.ty.as_ref();
    match argument {
        Type::Reference(_) => Err(Error::new(
            argument.span(),
            "a Work owns its input: take `String` for `&str`, `Vec<u8>` for `&[u8]`",
        )),
        Type::ImplTrait(_) => Err(Error::new(
            argument.span(),
            "a Work's function cannot be generic: its host would have to choose the types",
        )),
        _ => Ok(Some(argument)),
    }
}

/// The type that is returned. That it is a `Result` is for the compiler to tell, as it may be
/// named otherwise.
fn result_type(function: &ItemFn) -> Result<TokenStream> {
    match &function.sig.output {
        ReturnType::Type(_, result) => Ok(result.to_token_stream()),
        ReturnType::Default => Err(Error::new(
            function.sig.ident.span(),
            "a Work returns a `Result`: `Result<(), Error>`, if it has nothing to tell",
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What is wrong with a function, as its author is told.
    fn refused(options: &str, item: &str) -> String {
        generate(options.parse().unwrap(), item.parse().unwrap())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn wrong_shapes_are_told_apart() {
        for (options, item, said) in [
            ("", "struct Job;", "is for a function"),
            ("", "async fn f(a: u8) -> Result<u8, E> {}", "`async`"),
            ("", "fn f<T>(a: T) -> Result<T, E> {}", "generic"),
            ("", "fn f(a: impl Read) -> Result<u8, E> {}", "generic"),
            (
                "",
                "extern \"C\" fn f(a: u8) -> Result<u8, E> {}",
                "ordinary",
            ),
            (
                "",
                "fn f(a: u8, b: u8) -> Result<u8, E> {}",
                "a tuple or a struct",
            ),
            ("", "fn f(&self) -> Result<u8, E> {}", "`self`"),
            ("", "fn f(a: &str) -> Result<u8, E> {}", "take `String`"),
            ("", "fn f(a: u8) {}", "a Work returns a `Result`"),
            ("bytes", "fn f() -> Result<u8, E> {}", "`input: Vec<u8>`"),
            (
                "byte",
                "fn f(a: u8) -> Result<u8, E> {}",
                "the only option is `bytes`",
            ),
            (
                "bytes, x",
                "fn f(a: u8) -> Result<u8, E> {}",
                "the only option is `bytes`",
            ),
        ] {
            let told = refused(options, item);
            assert!(told.contains(said), "{item}: {told}");
        }
    }

    #[test]
    fn the_function_stays_beside_the_complaint() {
        let made = work(TokenStream::new(), "fn f(a: u8) {}".parse().unwrap()).to_string();
        assert!(made.contains("fn f"), "{made}");
        assert!(made.contains("compile_error"), "{made}");
    }

    #[test]
    fn right_shapes_are_taken() {
        for (options, item) in [
            ("", "fn f() -> Result<u8, E> {}"),
            (
                "",
                "pub(crate) fn f(Job { text }: Job) -> anyhow::Result<Vec<String>> {}",
            ),
            ("json", "fn f((a, b): (u8, u8)) -> Answer {}"),
            ("bytes", "fn f(mut input: Vec<u8>) -> Result<Vec<u8>, E> {}"),
        ] {
            generate(options.parse().unwrap(), item.parse().unwrap()).unwrap();
        }
    }
}
