// pod_start.cc: the worker's way from "this container should run" to a running one: image, environment, create, start.
// Source: kubelet's events and waiting reasons (ErrImagePull, CreateContainerConfigError, RunContainerError, ...).
#include <algorithm>

#include "agent/pod/pod_worker.h"
#include "agent/runtime/env.h"
#include "api/views/core_v1.h"
#include "base/strings.h"

namespace kayak::agent {

using namespace std::chrono_literals;

namespace {

// "1.234s", "850ms": Go's Duration rounded to milliseconds.
std::string duration_text(Duration d) {
  const std::int64_t ms = std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
  if (ms < 1000) return cat(ms, "ms");
  std::string fraction = std::to_string(1000 + ms % 1000).substr(1);
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  return cat(ms / 1000, fraction.empty() ? "" : ".", fraction, "s");
}

LocalImage to_local(const Image& image) {
  LocalImage local;
  local.id = image.id;
  local.reference = image.digests.empty() ? image.id : image.digests.front();
  local.layers = image.layer_folders;
  local.config = image.config;
  return local;
}

// The registry part of a dockerconfigjson key: "https://index.docker.io/v1/" and "host:5000/path" alike.
std::string registry_of_key(std::string key) {
  for (const char* scheme : {"https://", "http://"}) {
    if (key.rfind(scheme, 0) == 0) key = key.substr(std::string_view(scheme).size());
  }
  key = key.substr(0, key.find('/'));
  return key == "index.docker.io" || key == "registry-1.docker.io" ? "docker.io" : key;
}

// Of a docker config: its "auths"; or of the older .dockercfg, which is that map itself.
void add_credentials(std::string_view config_json, bool old_form, const std::string& registry,
                     std::vector<Credentials>& out) {
  Result<json::Value> config = json::read(config_json);
  const json::Value* auths = nullptr;
  if (config && config->is_object()) auths = old_form ? &*config : config->find("auths");
  if (!auths || !auths->is_object()) return;
  for (const auto& [key, entry] : auths->as_object()) {
    if (registry_of_key(key) != registry) continue;
    Credentials credentials;
    if (const json::Value* user = entry.find("username")) credentials.username = user->string_or();
    if (const json::Value* password = entry.find("password")) credentials.password = password->string_or();
    std::string decoded;
    const json::Value* auth = entry.find("auth");
    if (credentials.username.empty() && auth && base64_decode(auth->string_or(), &decoded)) {
      const std::size_t colon = decoded.find(':');
      credentials.username = decoded.substr(0, colon);
      if (colon != std::string::npos) credentials.password = decoded.substr(colon + 1);
    }
    if (!credentials.username.empty()) out.push_back(std::move(credentials));
  }
}

// {NAME}_SERVICE_HOST and friends, as Docker links had them. Source: kubelet envvars.FromServices.
void add_service(const api::core_v1::ServiceView& service, std::vector<std::pair<std::string, std::string>>& out) {
  const std::string ip(service.spec().cluster_ip());
  if (ip.empty() || ip == "None" || service.spec().ports().empty()) return;
  std::string prefix;
  const std::string_view name = service.metadata().name();
  for (char c : name) prefix += c == '-' ? '_' : static_cast<char>(std::toupper(c));
  out.emplace_back(prefix + "_SERVICE_HOST", ip);
  out.emplace_back(prefix + "_SERVICE_PORT", std::to_string(service.spec().ports()[0].port()));
  for (const auto& port : service.spec().ports()) {
    if (port.name().empty()) continue;
    std::string name;
    for (char c : port.name()) name += c == '-' ? '_' : static_cast<char>(std::toupper(c));
    out.emplace_back(cat(prefix, "_SERVICE_PORT_", name), std::to_string(port.port()));
  }
  bool first = true;
  for (const auto& port : service.spec().ports()) {
    const std::string protocol(port.protocol().empty() ? "TCP" : port.protocol());
    const std::string number = std::to_string(port.port());
    const std::string url = cat(to_lower(protocol), "://", ip, ":", number);
    const std::string link = cat(prefix, "_PORT_", number, "_", protocol);
    if (first) out.emplace_back(prefix + "_PORT", url);
    first = false;
    out.emplace_back(link, url);
    out.emplace_back(link + "_PROTO", to_lower(protocol));
    out.emplace_back(link + "_PORT", number);
    out.emplace_back(link + "_ADDR", ip);
  }
}

}  // namespace

void PodWorker::fail(Book& book, std::string reason, std::string message) {
  book.failure.reason = std::move(reason);
  book.failure.message = std::move(message);
  book.failure.delay = next_delay(book.failure.delay);
  book.failure.retry_at = deps_.context.clock.now() + book.failure.delay;
}

Task<std::vector<Credentials>> PodWorker::pull_credentials(std::string registry, StopToken stop) {
  std::vector<Credentials> credentials;
  const api::core_v1::PodView pod(document_.get(), nullptr);
  std::vector<std::string> names;
  for (const auto& secret : pod.spec().image_pull_secrets()) names.emplace_back(secret.name());
  for (const std::string& name : names) {
    Result<api::ObjectRef> secret = co_await deps_.client.get(api::kinds::secrets(), namespace_, name, stop);
    if (!secret) {
      event("", "Warning", "FailedToRetrieveImagePullSecret",
            cat("Unable to retrieve some image pull secrets (", name,
                "); attempting to pull the image may not succeed."));
      continue;
    }
    const json::Document document = (*secret)->document();
    for (const bool old_form : {false, true}) {
      const json::Value* data = document->at({"data", old_form ? ".dockercfg" : ".dockerconfigjson"});
      std::string text;
      if (data && base64_decode(data->string_or(), &text)) add_credentials(text, old_form, registry, credentials);
    }
  }
  co_return credentials;
}

Task<Result<ImageRef>> PodWorker::pull_image(std::string name, std::string image, Reference reference, StopToken stop) {
  event(name, "Normal", "Pulling", cat("Pulling image ", quote(image)));
  const Instant start = deps_.context.clock.now();
  PullOptions options;
  options.credentials = co_await pull_credentials(reference.registry, stop);
  Result<ImageRef> pulled = co_await deps_.images.pull(std::move(reference), std::move(options), stop);
  if (pulled) {
    const std::string took = duration_text(deps_.context.clock.now() - start);
    event(name, "Normal", "Pulled",
          cat("Successfully pulled image ", quote(image), " in ", took, " (", took,
              " including waiting). Image size: ", (*pulled)->size, " bytes."));
  }
  co_return pulled;
}

Task<Result<ImageRef>> PodWorker::ensure_image(std::string name, std::string image, std::string policy, Book& book,
                                               StopToken stop) {
  Result<Reference> reference = Reference::parse(image);
  if (!reference) {
    const std::string message =
        cat("Failed to apply default image tag ", quote(image), ": ", reference.error().message());
    fail(book, "InvalidImageName", message);
    event(name, "Warning", "InspectFailed", message);
    event(name, "Warning", "Failed", "Error: InvalidImageName");
    co_return reference.error();
  }
  ImageRef present = policy == "Always" ? nullptr : deps_.images.find(*reference);
  if (present) {
    event(name, "Normal", "Pulled",
          cat("Container image ", quote(image), " already present on machine and can be accessed by the pod"));
    co_return present;
  }
  if (policy == "Never") {
    const std::string message = cat("Container image ", quote(image), " is not present with pull policy of Never");
    fail(book, "ErrImageNeverPull", message);
    event(name, "Warning", "ErrImageNeverPull", message);
    event(name, "Warning", "Failed", "Error: ErrImageNeverPull");
    co_return Error(Code::kNotFound, message);
  }
  Result<ImageRef> pulled = co_await pull_image(name, image, *reference, stop);
  if (pulled || pulled.error().code() == Code::kCancelled) co_return pulled;
  const std::string why = pulled.error().message();
  event(name, "Warning", "Failed", cat("Failed to pull image ", quote(image), ": ", why));
  event(name, "Warning", "Failed", "Error: ErrImagePull");
  fail(book, "ErrImagePull", why);
  co_await report(stop);
  // From here on it waits for its next try.
  book.failure.reason = "ImagePullBackOff";
  book.failure.message = cat("Back-off pulling image ", quote(image), ": ErrImagePull: ", why);
  event(name, "Normal", "BackOff", cat("Back-off pulling image ", quote(image)));
  event(name, "Warning", "Failed", "Error: ImagePullBackOff");
  co_return pulled;
}

Task<Result<EnvInputs>> PodWorker::env_inputs(std::string container, StopToken stop) {
  EnvInputs inputs;
  inputs.host_ips = deps_.host_ips;
  if (const std::optional<SandboxStatus> sandbox = deps_.runtime.sandbox(uid_)) inputs.pod_ips = sandbox->ips;
  const json::Value* spec = container_spec(container);
  std::vector<EnvReference> references;
  if (spec) references = env_references(*spec);
  for (const EnvReference& reference : references) {
    const bool secret = reference.kind == EnvReference::Kind::kSecret;
    const api::Kind& kind = secret ? api::kinds::secrets() : api::kinds::config_maps();
    Result<api::ObjectRef> object = co_await deps_.client.get(kind, namespace_, reference.name, stop);
    if (object) {
      (secret ? inputs.secrets : inputs.config_maps)[cat(namespace_, "/", reference.name)] = (*object)->document();
    } else if (object.error().code() != Code::kNotFound) {
      co_return object.error();
    }
  }
  const api::core_v1::PodView pod(document_.get(), nullptr);
  const bool links = pod.spec().enable_service_links().value_or(true);
  for (const api::ObjectRef& object : deps_.services.list()) {
    const bool master = object->namespace_() == "default" && object->name() == "kubernetes";
    if (!master && !(links && object->namespace_() == namespace_)) continue;
    const json::Document document = object->document();
    add_service(api::core_v1::ServiceView(document.get(), nullptr), inputs.services);
  }
  co_return inputs;
}

Task<void> PodWorker::start_container(std::string name, std::uint32_t attempt, StopToken stop) {
  const json::Value* spec = container_spec(name);
  ASSERT(spec);
  const json::Document keep = document_;  // `spec` points into it, and update() may replace document_ meanwhile
  const api::core_v1::ContainerView view(spec, nullptr);
  const std::string image_name(view.image());
  const std::string policy(view.image_pull_policy());
  Book& book = books_[name];
  Result<ImageRef> image = co_await ensure_image(name, image_name, policy, book, stop);
  if (!image) co_return;

  Result<EnvInputs> env = co_await env_inputs(name, stop);
  if (!env) {
    if (env.error().code() != Code::kCancelled) fail(book, "CreateContainerConfigError", env.error().message());
    co_return;
  }
  ContainerSpec container;
  container.pod = document_;
  container.name = name;
  container.attempt = attempt;
  container.image = to_local(**image);
  container.env = std::move(*env);
  Result<std::string> id = co_await deps_.runtime.create_container(std::move(container), stop);
  if (!id) {
    if (id.error().code() == Code::kCancelled) co_return;
    fail(book, id.error().code() == Code::kInvalid ? "CreateContainerConfigError" : "CreateContainerError",
         id.error().message());
    event(name, "Warning", "Failed", cat("Error: ", id.error().message()));
    co_return;
  }
  event(name, "Normal", "Created", "Container created");
  Result<void> started = co_await deps_.runtime.start_container(*id, stop);
  book.attempt_floor = std::max(book.attempt_floor, attempt + 1);
  if (!started) {
    if (started.error().code() == Code::kCancelled) co_return;
    fail(book, "RunContainerError", started.error().message());
    event(name, "Warning", "Failed", cat("Error: ", started.error().message()));
    co_return;
  }
  book.failure = RetryState();
  event(name, "Normal", "Started", "Container started");
}

}  // namespace kayak::agent
