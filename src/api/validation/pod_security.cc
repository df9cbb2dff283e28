// pod_security.cc: security contexts, the profiles of seccomp and AppArmor, what an operating system allows.
// Source: kubernetes pkg/apis/core/validation ValidateSecurityContext, validatePodSpecSecurityContext, validateOS,
// validateLinux, validateWindows (v1.36).
#include <cctype>

#include "api/validation/checked.h"
#include "api/validation/pods.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::int64_t kMaxId = 2147483647;
constexpr std::size_t kMaxProfile = 4095;
constexpr std::size_t kMaxSysctl = 253;
constexpr std::size_t kMaxCredentialSpec = 64 * 1024;
constexpr std::size_t kMaxWindowsDomain = 256;
constexpr std::size_t kMaxWindowsUser = 104;

constexpr std::string_view kSeccompPod = "seccomp.security.alpha.kubernetes.io/pod";
constexpr std::string_view kSeccompContainer = "container.seccomp.security.alpha.kubernetes.io/";
constexpr std::string_view kAppArmor = "container.apparmor.security.beta.kubernetes.io/";
constexpr std::string_view kMirror = "kubernetes.io/config.mirror";
constexpr std::string_view kDeletionCost = "controller.kubernetes.io/pod-deletion-cost";
constexpr std::string_view kLocalhost = "localhost/";

constexpr std::string_view kProfileTypes[] = {"Localhost", "RuntimeDefault", "Unconfined"};

void check_id(const json::Value& context, const char* name, const field::Path& path, field::ErrorList& errors) {
  const json::Value* id = get(context, name);
  if (id == nullptr) return;
  field::append_invalid(errors, path.child(name), *id, in_range(id->int_or(0), 0, kMaxId));
}

void check_seccomp(const json::Value& context, const field::Path& parent, field::ErrorList& errors) {
  const json::Value* profile = get(context, "seccompProfile");
  if (profile == nullptr) return;
  const field::Path path = parent.child("seccompProfile");
  const std::string_view type = text(*profile, "type");
  const json::Value* local = get(*profile, "localhostProfile");
  if (type.empty()) {
    errors.push_back(field::required(path.child("type"), "type is required when seccompProfile is set"));
  } else if (!one_of(type, kProfileTypes)) {
    errors.push_back(field::not_supported(path.child("type"), json::Value(type), kProfileTypes));
  }
  if (type != "Localhost") {
    if (local != nullptr) {
      errors.push_back(
          field::invalid(path.child("localhostProfile"), *profile, "can only be set when seccomp type is Localhost"));
    }
  } else if (local == nullptr) {
    errors.push_back(field::required(path.child("localhostProfile"), "must be set when seccomp type is Localhost"));
  } else {
    check_local_path(local->string_or(), path.child("localhostProfile"), errors);
  }
}

void check_app_armor(const json::Value& context, const field::Path& parent, field::ErrorList& errors) {
  const json::Value* profile = get(context, "appArmorProfile");
  if (profile == nullptr) return;
  const field::Path path = parent.child("appArmorProfile"), local_path = path.child("localhostProfile");
  const std::string_view type = text(*profile, "type");
  const json::Value* local = get(*profile, "localhostProfile");
  if (type.empty()) {
    errors.push_back(field::required(path.child("type"), "type is required when appArmorProfile is set"));
  } else if (!one_of(type, kProfileTypes)) {
    errors.push_back(field::not_supported(path.child("type"), json::Value(type), kProfileTypes));
  } else if (type != "Localhost") {
    if (local != nullptr) {
      errors.push_back(field::invalid(local_path, *local, "can only be set when AppArmor type is Localhost"));
    }
  } else if (local == nullptr || local->string_or().empty()) {
    errors.push_back(field::required(local_path, "must be set when AppArmor type is Localhost"));
  } else {
    if (trim(local->string_or()) != local->string_or()) {
      errors.push_back(field::invalid(local_path, *local, "must not be padded with whitespace"));
    }
    if (local->string_or().size() > kMaxProfile) errors.push_back(field::too_long(local_path, kMaxProfile));
  }
}

// ---- Windows

bool is_domain(std::string_view domain) {
  constexpr std::string_view kRefused = "\\/:*?\"<>|";
  const bool netbios =
      !domain.empty() && domain.size() <= 15 && domain.front() != '.' && domain.find_first_of(kRefused) == domain.npos;
  return netbios || dns1123_subdomain(to_lower(domain)).empty();
}

std::string_view wrong_windows_user(std::string_view user) {
  if (user.empty()) return "runAsUserName's User cannot be empty";
  if (user.size() > kMaxWindowsUser) return "runAsUserName's User length must not be longer than 104 characters";
  if (user.find_first_not_of(". ") == user.npos) return "runAsUserName's User cannot contain only periods or spaces";
  if (user.find_first_of("\"/\\:;|=,+*?<>@[]") != user.npos) {
    return "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]";
  }
  return "";
}

void check_windows_user(const json::Value& name, const field::Path& path, field::ErrorList& errors) {
  const std::string_view value = name.string_or();
  const auto invalid = [&](std::string_view why) { errors.push_back(field::invalid(path, name, why)); };
  const std::vector<std::string_view> parts = split(value, '\\');
  if (value.empty()) return invalid("runAsUserName cannot be an empty string");
  const bool control =
      std::any_of(value.begin(), value.end(), [](char c) { return std::iscntrl(static_cast<unsigned char>(c)) != 0; });
  if (control) return invalid("runAsUserName cannot contain control characters");
  if (parts.size() > 2) return invalid("runAsUserName cannot contain more than one backslash");
  if (parts.size() == 2) {
    if (parts[0].size() >= kMaxWindowsDomain) {
      invalid("runAsUserName's Domain length must be under 256 characters");
    }
    if (!is_domain(parts[0])) invalid("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
  }
  const std::string_view wrong = wrong_windows_user(parts.back());
  if (!wrong.empty()) invalid(wrong);
}

void check_windows_options(const json::Value& context, const field::Path& parent, field::ErrorList& errors) {
  const json::Value* options = get(context, "windowsOptions");
  if (options == nullptr) return;
  const field::Path path = parent.child("windowsOptions");
  if (const json::Value* name = get(*options, "gmsaCredentialSpecName")) {
    check_text(name->string_or(), dns1123_subdomain, path.child("gmsaCredentialSpecName"), errors);
  }
  if (const json::Value* spec = get(*options, "gmsaCredentialSpec")) {
    const std::size_t size = spec->string_or().size();
    const field::Path own = path.child("gmsaCredentialSpec");
    if (size == 0) errors.push_back(field::invalid(own, *spec, "gmsaCredentialSpec cannot be an empty string"));
    if (size > kMaxCredentialSpec) {
      errors.push_back(field::invalid(own, *spec, "gmsaCredentialSpec size must be under 64 KiB"));
    }
  }
  if (const json::Value* name = get(*options, "runAsUserName")) {
    check_windows_user(*name, path.child("runAsUserName"), errors);
  }
}

void check_host_process(const PodChecks& checks, const field::Path& path) {
  const json::Value* of_pod = get(part(part(checks.spec, "securityContext"), "windowsOptions"), "hostProcess");
  int all = 0, host = 0;
  visit_containers(checks.spec, path, [&](const json::Value& container, const field::Path& own) {
    ++all;
    const json::Value* of_container = get(part(part(container, "securityContext"), "windowsOptions"), "hostProcess");
    if (of_pod != nullptr && of_container != nullptr && !(*of_pod == *of_container)) {
      checks.errors.push_back(field::invalid(
          own.child("securityContext").child("windowsOptions").child("hostProcess"), *of_container,
          cat("pod hostProcess value must be identical if both are specified, was ", of_pod->bool_or(false))));
    }
    const json::Value* effective = of_container != nullptr ? of_container : of_pod;
    if (effective != nullptr && effective->bool_or(false)) ++host;
  });
  if (host == 0) return;
  if (host != all) {
    checks.errors.push_back(field::invalid(
        path, "", "If pod contains any hostProcess containers then all containers must be HostProcess containers"));
  }
  if (!flag(checks.spec, "hostNetwork")) {
    checks.errors.push_back(field::invalid(path.child("hostNetwork"), false,
                                           "hostNetwork must be true if pod contains any hostProcess containers"));
  }
}

void forbid(const json::Value& holder, std::initializer_list<const char*> names, const field::Path& path,
            std::string_view why, field::ErrorList& errors) {
  for (const char* name : names) {
    if (get(holder, name) != nullptr) errors.push_back(field::forbidden(path.child(name), why));
  }
}

void check_windows_pod(const PodChecks& checks, const field::Path& path) {
  constexpr std::string_view kWhy = "cannot be set for a windows pod";
  field::ErrorList& errors = checks.errors;
  const json::Value& context = part(checks.spec, "securityContext");
  const field::Path own = path.child("securityContext");
  forbid(context, {"appArmorProfile", "seLinuxOptions"}, own, kWhy, errors);
  if (get(checks.spec, "hostUsers") != nullptr) errors.push_back(field::forbidden(path.child("hostUsers"), kWhy));
  for (const char* name : {"hostPID", "hostIPC"}) {
    if (flag(checks.spec, name)) errors.push_back(field::forbidden(path.child(name), kWhy));
  }
  forbid(context, {"seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls"}, own, kWhy, errors);
  forbid(checks.spec, {"shareProcessNamespace"}, path, kWhy, errors);
  forbid(context, {"runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy"},
         own, kWhy, errors);
  visit_containers(checks.spec, path, [&](const json::Value& container, const field::Path& at) {
    const json::Value* inner = get(container, "securityContext");
    if (inner == nullptr) return;
    forbid(*inner,
           {"appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem",
            "privileged", "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup"},
           at.child("securityContext"), kWhy, errors);
  });
}

void check_linux_pod(const PodChecks& checks, const field::Path& path) {
  constexpr std::string_view kWhy = "windows options cannot be set for a linux pod";
  forbid(part(checks.spec, "securityContext"), {"windowsOptions"}, path.child("securityContext"), kWhy, checks.errors);
  visit_containers(checks.spec, path, [&](const json::Value& container, const field::Path& own) {
    forbid(part(container, "securityContext"), {"windowsOptions"}, own.child("securityContext"), kWhy, checks.errors);
  });
}

// ---- sysctls

// Segments of [a-z0-9]([-_a-z0-9]*[a-z0-9])?, between dots or slashes.
bool is_sysctl(std::string_view name) {
  if (name.size() > kMaxSysctl || name.empty()) return false;
  const auto is_mark = [](char c) { return c == '-' || c == '_'; };
  const auto is_separator = [](char c) { return c == '.' || c == '/'; };
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (is_lower_alnum(c)) continue;
    if (!is_mark(c) && !is_separator(c)) return false;
    // Neither kind stands at an end of a segment.
    const bool after = i > 0 && !is_separator(name[i - 1]) && !(is_separator(c) && is_mark(name[i - 1]));
    const bool before = i + 1 < name.size() && !is_separator(name[i + 1]) && !(is_separator(c) && is_mark(name[i + 1]));
    if (!after || !before) return false;
  }
  return true;
}

enum class SysctlNamespace : std::uint8_t { kUnknown, kIpc, kNet };

SysctlNamespace sysctl_namespace(std::string_view sysctl) {
  std::string name(sysctl);
  // With a slash first, slashes separate and dots are part of the names.
  const std::size_t first = name.find_first_of("./");
  if (first != name.npos && name[first] == '/') std::replace(name.begin(), name.end(), '/', '.');
  constexpr std::string_view kIpc[] = {"kernel.sem"};
  if (one_of(name, kIpc) || name.starts_with("kernel.shm") || name.starts_with("kernel.msg") ||
      name.starts_with("fs.mqueue.")) {
    return SysctlNamespace::kIpc;
  }
  return name.starts_with("net.") ? SysctlNamespace::kNet : SysctlNamespace::kUnknown;
}

void check_sysctls(const PodChecks& checks, const json::Value& context, const field::Path& path) {
  const auto sysctls = list(context, "sysctls");
  Seen names;
  for (std::size_t i = 0; i < sysctls.size(); ++i) {
    const std::string_view name = text(sysctls[i], "name");
    const field::Path own = path.index(i).child("name");
    const bool seen = !names.add(name);
    if (name.empty()) {
      checks.errors.push_back(field::required(own, ""));
    } else if (!is_sysctl(name)) {
      checks.errors.push_back(
          field::invalid(own, json::Value(name),
                         "must have at most 253 characters and match regex "
                         "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"));
    } else if (seen) {
      checks.errors.push_back(field::duplicate(own, json::Value(name)));
    }
    const SysctlNamespace space = sysctl_namespace(name);
    if (space == SysctlNamespace::kNet && flag(checks.spec, "hostNetwork")) {
      checks.errors.push_back(
          field::invalid(own, json::Value(name), "may not be specified when 'hostNetwork' is true"));
    } else if (space == SysctlNamespace::kIpc && flag(checks.spec, "hostIPC")) {
      checks.errors.push_back(field::invalid(own, json::Value(name), "may not be specified when 'hostIPC' is true"));
    }
  }
}

void check_enum(const json::Value& context, const char* name, std::span<const std::string_view> choices,
                const field::Path& path, field::ErrorList& errors) {
  const json::Value* value = get(context, name);
  if (value == nullptr || std::find(choices.begin(), choices.end(), value->string_or()) != choices.end()) return;
  errors.push_back(field::not_supported(path.child(name), *value, choices));
}

}  // namespace

void check_container_security(const json::Value& container, const PodChecks& checks, const field::Path& parent,
                              field::ErrorList& errors) {
  constexpr std::string_view kProcMounts[] = {"Default", "Unmasked"};
  const json::Value* context = get(container, "securityContext");
  if (context == nullptr) return;
  const field::Path path = parent.child("securityContext");
  check_id(*context, "runAsUser", path, errors);
  check_id(*context, "runAsGroup", path, errors);
  check_enum(*context, "procMount", kProcMounts, path, errors);
  if (checks.host_users() && text(*context, "procMount") == "Unmasked") {
    errors.push_back(
        field::invalid(path.child("procMount"), "Unmasked", "`hostUsers` must be false to use `Unmasked`"));
  }
  check_seccomp(*context, path, errors);
  const json::Value* escalation = get(*context, "allowPrivilegeEscalation");
  if (escalation != nullptr && !escalation->bool_or(true)) {
    if (flag(*context, "privileged")) {
      errors.push_back(
          field::invalid(path, *context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"));
    }
    for (const json::Value& capability : list(part(*context, "capabilities"), "add")) {
      if (capability.string_or() != "CAP_SYS_ADMIN") continue;
      errors.push_back(field::invalid(
          path, *context, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"));
    }
  }
  check_windows_options(*context, path, errors);
  check_app_armor(*context, path, errors);
}

void check_pod_security(PodChecks& checks, const field::Path& parent) {
  constexpr std::string_view kFsGroup[] = {"Always", "OnRootMismatch"};
  constexpr std::string_view kSupplemental[] = {"Merge", "Strict"};
  constexpr std::string_view kSeLinux[] = {"MountOption", "Recursive"};
  check_host_process(checks, parent);
  const json::Value* context = get(checks.spec, "securityContext");
  const field::Path path = parent.child("securityContext");
  field::ErrorList& errors = checks.errors;
  if (flag(checks.spec, "shareProcessNamespace") && flag(checks.spec, "hostPID")) {
    errors.push_back(field::invalid(path.child("shareProcessNamespace"), true,
                                    "ShareProcessNamespace and HostPID cannot both be enabled"));
  }
  if (context == nullptr || context->as_object().empty()) return;
  for (const char* name : {"fsGroup", "runAsUser", "runAsGroup"}) check_id(*context, name, path, errors);
  const auto groups = list(*context, "supplementalGroups");
  for (std::size_t i = 0; i < groups.size(); ++i) {
    field::append_invalid(errors, path.child("supplementalGroups").index(i), groups[i],
                          in_range(groups[i].int_or(0), 0, kMaxId));
  }
  check_sysctls(checks, *context, path.child("sysctls"));
  check_enum(*context, "fsGroupChangePolicy", kFsGroup, path, errors);
  check_seccomp(*context, path, errors);
  check_windows_options(*context, path, errors);
  check_app_armor(*context, path, errors);
  check_enum(*context, "supplementalGroupsPolicy", kSupplemental, path, errors);
  check_enum(*context, "seLinuxChangePolicy", kSeLinux, path, errors);
}

void check_os(PodChecks& checks, const field::Path& path) {
  constexpr std::string_view kSystems[] = {"linux", "windows"};
  if (get(checks.spec, "os") == nullptr) return;
  const std::string_view os = checks.os();
  if (os.empty()) {
    checks.errors.push_back(field::required(path.child("os").child("name"), "cannot be empty"));
  } else if (!one_of(os, kSystems)) {
    checks.errors.push_back(field::not_supported(path.child("os"), json::Value(os), kSystems));
  } else if (os == "linux") {
    check_linux_pod(checks, path);
  } else {
    check_windows_pod(checks, path);
  }
}

// ---- annotations

namespace {

bool has_container(const json::Value& spec, std::string_view name) {
  for (const char* kind : {"initContainers", "containers", "ephemeralContainers"}) {
    for (const json::Value& container : list(spec, kind)) {
      if (text(container, "name") == name) return true;
    }
  }
  return false;
}

void check_seccomp_annotation(std::string_view profile, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kKnown[] = {"runtime/default", "docker/default", "unconfined"};
  if (one_of(profile, kKnown)) return;
  if (profile.starts_with(kLocalhost)) return check_local_path(profile.substr(kLocalhost.size()), path, errors);
  errors.push_back(field::invalid(path, json::Value(profile), "must be a valid seccomp profile"));
}

void check_app_armor_annotation(std::string_view key, std::string_view profile, const json::Value& spec,
                                const field::Path& path, field::ErrorList& errors) {
  const std::string_view name = key.substr(kAppArmor.size());
  if (!has_container(spec, name)) {
    errors.push_back(field::invalid(path.key(key), json::Value(name), "container not found"));
  }
  if (profile.empty() || profile == "runtime/default" || profile == "unconfined" || profile.starts_with(kLocalhost)) {
    return;
  }
  errors.push_back(
      field::invalid(path.key(key), json::Value(profile), cat("invalid AppArmor profile name: ", quote(profile))));
}

// `what` is "seccomp" or "apparmor".
void check_match(std::string_view annotation, const json::Value& profile, std::string_view what,
                 const field::Path& path, field::ErrorList& errors) {
  const std::string_view type = text(profile, "type");
  const bool runtime = annotation == "runtime/default" || (what == "seccomp" && annotation == "docker/default");
  const bool local = annotation.starts_with(kLocalhost);
  const bool same = type == "Unconfined"       ? annotation == "unconfined"
                    : type == "RuntimeDefault" ? runtime
                    : type == "Localhost"      ? local
                                               : true;
  if (!same) {
    errors.push_back(field::forbidden(path.child("type"), cat(what, " type in annotation and field must match")));
  } else if (type == "Localhost" && text(profile, "localhostProfile") != annotation.substr(kLocalhost.size())) {
    errors.push_back(
        field::forbidden(path.child("localhostProfile"), cat(what, " profile in annotation and field must match")));
  }
}

}  // namespace

void check_pod_annotations(const json::Value& meta, const json::Value& spec, const field::Path& path,
                           field::ErrorList& errors) {
  for (const auto& [key, annotation] : members(meta, "annotations")) {
    const std::string_view value = annotation.string_or();
    if (key == kMirror && text(spec, "nodeName").empty()) {
      errors.push_back(
          field::invalid(path.key(key), annotation, "must set spec.nodeName if mirror pod annotation is set"));
    } else if (key == kDeletionCost) {
      std::int64_t cost = 0;
      const bool plain = !value.starts_with('+') && (value == "0" || !value.starts_with('0'));
      const bool fits = parse_int64(value, &cost) && cost >= -2147483648LL && cost <= 2147483647LL;
      if (!plain || !fits) errors.push_back(field::invalid(path.key(key), annotation, "must be a 32bit integer"));
    } else if (key == kSeccompPod || key.starts_with(kSeccompContainer)) {
      check_seccomp_annotation(value, path.child(key), errors);
    } else if (key.starts_with(kAppArmor)) {
      check_app_armor_annotation(key, value, spec, path, errors);
    }
  }
}

void check_annotations_match_fields(const json::Value& meta, const json::Value& spec, const field::Path& path,
                                    field::ErrorList& errors) {
  const json::Value& annotations = part(meta, "annotations");
  if (members(&annotations).empty()) return;
  const json::Value* of_pod = get(part(spec, "securityContext"), "seccompProfile");
  if (const json::Value* annotation = get(annotations, kSeccompPod); annotation != nullptr && of_pod != nullptr) {
    check_match(annotation->string_or(), *of_pod, "seccomp", path.child("securityContext").child("seccompProfile"),
                errors);
  }
  const bool windows = text(part(spec, "os"), "name") == "windows";
  const json::Value* pod_armor = get(part(spec, "securityContext"), "appArmorProfile");
  visit_containers(spec, path, [&](const json::Value& container, const field::Path& own) {
    const json::Value& context = part(container, "securityContext");
    const std::string_view name = text(container, "name");
    const json::Value* seccomp = get(context, "seccompProfile");
    const json::Value* annotation = get(annotations, cat(kSeccompContainer, name));
    if (seccomp != nullptr && annotation != nullptr) {
      check_match(annotation->string_or(), *seccomp, "seccomp", own.child("securityContext").child("seccompProfile"),
                  errors);
    }
    const json::Value* armor = get(context, "appArmorProfile");
    if (armor == nullptr) armor = pod_armor;
    annotation = get(annotations, cat(kAppArmor, name));
    if (windows || armor == nullptr || annotation == nullptr) return;
    check_match(annotation->string_or(), *armor, "apparmor", own.child("securityContext").child("appArmorProfile"),
                errors);
  });
}

}  // namespace kayak::api::validation
