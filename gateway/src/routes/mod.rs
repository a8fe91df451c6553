//! The one table of routes, and the document of it.

mod allowed;

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use poem::endpoint::{BoxEndpoint, DynEndpoint, ToDynEndpoint};
use poem::http::Method;
use poem::{EndpointExt, IntoEndpoint, Response, Route};
use poem_openapi::registry::{MetaApi, Registry};
use poem_openapi::{LicenseObject, OpenApi, OpenApiService};

use self::allowed::Paths;
use crate::api::admin::access::AccessApi;
use crate::api::admin::audit::AuditApi;
use crate::api::admin::data::DataApi;
use crate::api::admin::keys::KeysApi;
use crate::api::admin::roles::RolesApi;
use crate::api::admin::subjects::SubjectsApi;
use crate::api::admin::tokens::AccessTokensApi;
use crate::api::admin::usage::UsageApi;
use crate::api::chat::ChatApi;
use crate::api::completions::CompletionsApi;
use crate::api::conversations::ConversationsApi;
use crate::api::docs;
use crate::api::embeddings::EmbeddingsApi;
use crate::api::health::HealthApi;
use crate::api::jwks;
use crate::api::models::ModelsApi;
use crate::api::payload::bound_body;
use crate::api::predict::PredictApi;
use crate::api::responses::ResponsesApi;
use crate::api::tokens::TokensApi;
use crate::app::App;
use crate::error::rescue::Rescue;

/// Every operation, in the order of the document.
type Operations = (
    (ChatApi, ResponsesApi, ConversationsApi),
    (CompletionsApi, EmbeddingsApi, ModelsApi, TokensApi, PredictApi),
    (RolesApi, SubjectsApi, DataApi, KeysApi, AccessTokensApi, AuditApi, UsageApi, AccessApi),
    HealthApi,
);

fn operations(app: Arc<App>) -> Operations {
    let shared = || Arc::clone(&app);
    (
        (ChatApi::new(shared()), ResponsesApi { app: shared() }, ConversationsApi { app: shared() }),
        (
            CompletionsApi::new(shared()),
            EmbeddingsApi { app: shared() },
            ModelsApi { app: shared() },
            TokensApi { app: shared() },
            PredictApi { app: shared() },
        ),
        (
            RolesApi { app: shared() },
            SubjectsApi { app: shared() },
            DataApi { app: shared() },
            KeysApi { app: shared() },
            AccessTokensApi { app: shared() },
            AuditApi { app: shared() },
            UsageApi { app: shared() },
            AccessApi { app: shared() },
        ),
        HealthApi { app },
    )
}

/// The whole surface: never fails, answers every request with its request id.
pub fn routes(app: Arc<App>) -> Arc<dyn DynEndpoint<Output = Response>> {
    let (access, limit) = (Arc::clone(&app.access), app.limits.max_body_bytes);
    let service = describe(operations(app));
    let document = document();
    let page = docs::finish_page(&service.swagger_ui_html(), &service.spec(), &document);
    let routes = docs::add(Route::new().nest("/", service), document, page);
    let routes = jwks::add(routes, Arc::clone(&access));
    let bounded = routes.before(move |mut request| {
        bound_body(&mut request, limit);
        // What extractors need; operations have the app as a field.
        request.set_data(Arc::clone(&access));
        futures_util::future::ready(Ok(request))
    });
    let open = [docs::PATHS.as_slice(), &[jwks::PATH]].concat();
    let paths = Paths::new(&Operations::meta(), &open);
    let allowed = Box::new(move |path: &str| paths.methods(path));
    Arc::new(ToDynEndpoint(Rescue::new(bounded.into_endpoint(), allowed)))
}

/// The finished OpenAPI document.
pub fn document() -> String {
    let unfinished = describe(Described::<Operations>(PhantomData)).spec();
    // What poem-openapi writes always parses: it is serialized from a tree.
    let value = serde_json::from_str(&unfinished).unwrap_or_default();
    let finished = openapi::document::finish(value);
    format!("{finished:#}\n")
}

fn describe<T: OpenApi>(operations: T) -> OpenApiService<T, ()> {
    OpenApiService::new(operations, "Sluice", env!("CARGO_PKG_VERSION"))
        .summary("An OpenAI-compatible streaming gateway with the model inside it")
        .license(LicenseObject::new("Apache-2.0").identifier("Apache-2.0"))
}

/// Operations without an app behind them: enough for the document.
struct Described<T>(PhantomData<fn() -> T>);

impl<T: OpenApi> OpenApi for Described<T> {
    fn meta() -> Vec<MetaApi> {
        T::meta()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, _: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {}
}

#[cfg(test)]
mod tests;
