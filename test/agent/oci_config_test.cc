// The OCI configuration of a container, confinement first.
#include "agent/runtime/oci_config.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "base/strings.h"
#include "support_pod.h"

namespace kayak::agent {
namespace {

using test::js;
using test::pod_with;
using test::pod_with_container;

struct Case {
  json::Value pod;
  ImageConfig image;
  SandboxPaths sandbox;
  HostFacts host;
  std::vector<VolumePath> volumes, image_volumes;
  EnvList env;

  explicit Case(json::Value with) : pod(std::move(with)) {
    image.cmd = {"/bin/app"};
    sandbox.net_ns = "/run/kayak/pods/u-1/net";
    sandbox.ipc_ns = "/run/kayak/pods/u-1/ipc";
    sandbox.uts_ns = "/run/kayak/pods/u-1/uts";
    sandbox.shm = "/run/kayak/pods/u-1/shm";
    sandbox.hosts = "/k/etc-hosts";
    sandbox.hostname = "/k/hostname";
    sandbox.resolv_conf = "/k/resolv.conf";
    for (int i = 0; !capability_name(i).empty(); ++i) host.capabilities.emplace_back(capability_name(i));
    host.memory_capacity_bytes = 1ULL << 30;
  }
  Result<json::Value> make() const {
    const json::Value& container = pod.at({"spec", "containers"})->as_array()[0];
    OciInputs in{pod,           container, image,         sandbox,  host, "web",     env,
                 ProcessUser(), volumes,   image_volumes, "/k/log", "/r", "/kayak/x"};
    return make_oci_config(in);
  }
  json::Value config() const {
    Result<json::Value> made = make();
    if (!made) FAIL(made.error().message());
    return std::move(*made);
  }
  std::string error() const {
    const Result<json::Value> made = make();
    return made ? "" : made.error().message();
  }
};

std::string list(const json::Value* value) {
  std::vector<std::string> out;
  if (value == nullptr) return "(none)";
  for (const json::Value& item : value->as_array()) out.emplace_back(item.string_or());
  return join(out, " ");
}

const json::Value* find_mount(const json::Value& config, std::string_view destination) {
  for (const json::Value& mount : config.find("mounts")->as_array()) {
    if (mount.find("destination")->string_or() == destination) return &mount;
  }
  return nullptr;
}

bool allows(const json::Value& seccomp, std::string_view call) {
  for (const json::Value& rule : seccomp.find("syscalls")->as_array()) {
    if (rule.find("args") != nullptr || rule.find("action")->string_or() != "SCMP_ACT_ALLOW") continue;
    for (const json::Value& name : rule.find("names")->as_array()) {
      if (name.string_or() == call) return true;
    }
  }
  return false;
}

TEST_CASE("oci config: confinement by default") {
  const json::Value config = Case(pod_with_container("")).config();
  INFO(json::write_pretty(config));
  const std::string fourteen =
      "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FSETID CAP_FOWNER CAP_MKNOD CAP_NET_RAW CAP_SETGID CAP_SETUID CAP_SETFCAP "
      "CAP_SETPCAP "
      "CAP_NET_BIND_SERVICE CAP_SYS_CHROOT CAP_KILL CAP_AUDIT_WRITE";
  for (const std::string_view set : {"bounding", "effective", "permitted"}) {
    CHECK(list(config.at({"process", "capabilities", set})) == fourteen);
  }
  CHECK(config.at({"process", "capabilities", "inheritable"}) == nullptr);
  CHECK(config.at({"process", "capabilities", "ambient"}) == nullptr);
  const std::string masked = list(config.at({"linux", "maskedPaths"}));
  for (const std::string_view path : {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/acpi"}) {
    CHECK(masked.find(path) != std::string::npos);
  }
  CHECK(list(config.at({"linux", "readonlyPaths"})) == "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger");
  CHECK(list(find_mount(config, "/sys")->find("options")) == "nosuid noexec nodev ro");
  CHECK(list(find_mount(config, "/sys/fs/cgroup")->find("options")) == "nosuid noexec nodev relatime ro");
  CHECK(json::write(*config.at({"linux", "resources", "devices"})) == "[{\"allow\":false,\"access\":\"rwm\"}]");
  CHECK(config.at({"linux", "devices"}) == nullptr);
  CHECK(config.at({"process", "oomScoreAdj"})->int_or(-1) == 1000);
  CHECK_FALSE(config.at({"process", "noNewPrivileges"})->bool_or(true));
  CHECK(config.find("annotations") == nullptr);
  CHECK(config.find("hooks") == nullptr);
}

TEST_CASE("oci config: the system call filter") {
  const json::Value config = Case(pod_with_container("")).config();
  const json::Value* seccomp = config.at({"linux", "seccomp"});
  REQUIRE(seccomp != nullptr);
  CHECK(seccomp->find("defaultAction")->string_or() == "SCMP_ACT_ERRNO");
  CHECK(seccomp->find("defaultErrnoRet")->int_or(0) == 1);
  for (const std::string_view call :
       {"read", "openat", "execve", "futex", "accept4", "chroot", "statx", "rseq", "futex_waitv"}) {
    CAPTURE(call);
    CHECK(allows(*seccomp, call));
  }
  for (const std::string_view call :
       {"mount", "unshare", "setns", "bpf", "reboot", "init_module", "kexec_load", "keyctl", "add_key",
        "open_by_handle_at", "userfaultfd", "io_uring_setup", "clone", "clone3", "perf_event_open", "socket", "swapon",
        "acct", "settimeofday"}) {
    CAPTURE(call);
    CHECK_FALSE(allows(*seccomp, call));
  }
  const std::string text = json::write(*seccomp);
  CHECK(text.find("{\"names\":[\"clone3\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38}") != std::string::npos);
  CHECK(text.find("{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":2114060288,"
                  "\"valueTwo\":0,"
                  "\"op\":\"SCMP_CMP_MASKED_EQ\"}]}") != std::string::npos);
  CHECK(text.find("\"value\":40,") == std::string::npos);  // vsock
  CHECK(text.find("\"value\":38,") == std::string::npos);  // the kernel's crypto

  const json::Value admin = default_seccomp_profile(Arch::kAmd64, {"CAP_SYS_ADMIN"});
  CHECK(allows(admin, "mount"));
  CHECK(allows(admin, "clone3"));
  const json::Value arm = default_seccomp_profile(Arch::kArm64, {});
  CHECK(list(arm.find("architectures")) == "SCMP_ARCH_AARCH64 SCMP_ARCH_ARM");
  CHECK(allows(arm, "set_tls"));
  CHECK_FALSE(allows(arm, "modify_ldt"));

  CHECK(Case(pod_with("{'containers':[{'name':'c'}],'securityContext':{'seccompProfile':{'type':'Unconfined'}}}"))
            .config()
            .at({"linux", "seccomp"}) == nullptr);
  CHECK(Case(pod_with("{'containers':[{'name':'c','securityContext':{'seccompProfile':{'type':'RuntimeDefault'}}}],"
                      "'securityContext':{'seccompProfile':{'type':'Unconfined'}}}"))
            .config()
            .at({"linux", "seccomp"}) != nullptr);
}

TEST_CASE("oci config: security context") {
  const auto with = [](const std::string& sc) { return Case(pod_with_container("'securityContext':{" + sc + "}")); };
  CHECK(list(with("'capabilities':{'drop':['ALL'],'add':['NET_BIND_SERVICE']}")
                 .config()
                 .at({"process", "capabilities", "bounding"})) == "CAP_NET_BIND_SERVICE");
  CHECK(list(with("'capabilities':{'drop':['all']}").config().at({"process", "capabilities", "effective"})).empty());
  CHECK(list(with("'capabilities':{'add':['SYS_TIME']}").config().at({"process", "capabilities", "effective"}))
            .find("CAP_SYS_TIME") != std::string::npos);
  CHECK(with("'capabilities':{'add':['NOT_A_CAP']}").error() ==
        "unknown capability \"NOT_A_CAP\" in securityContext.capabilities.add");
  Case poor = with("'capabilities':{'add':['SYS_RESOURCE']}");
  std::erase(poor.host.capabilities, "CAP_SYS_RESOURCE");
  std::erase(poor.host.capabilities, "CAP_MKNOD");
  CHECK(poor.error() == "capability CAP_SYS_RESOURCE cannot be given: kayak does not hold it on this node");
  CHECK(with("'allowPrivilegeEscalation':false").config().at({"process", "noNewPrivileges"})->bool_or(false));
  CHECK(with("'readOnlyRootFilesystem':true").config().at({"root", "readonly"})->bool_or(false));
  CHECK(list(find_mount(with("'readOnlyRootFilesystem':true").config(), "/etc/hosts")->find("options")) ==
        "rbind rprivate ro");

  Case privileged = with("'privileged':true");
  HostDevice kvm;
  kvm.path = "/dev/kvm";
  kvm.major = 10;
  kvm.minor = 232;
  privileged.host.devices = {kvm};
  const json::Value config = privileged.config();
  CHECK(config.at({"linux", "seccomp"}) == nullptr);
  CHECK(config.at({"linux", "maskedPaths"}) == nullptr);
  CHECK(config.at({"linux", "devices"})->as_array().size() == 1);
  CHECK(config.at({"process", "capabilities", "bounding"})->as_array().size() == privileged.host.capabilities.size());
  CHECK(json::write(*config.at({"linux", "resources", "devices"})) == "[{\"allow\":true,\"access\":\"rwm\"}]");
}

TEST_CASE("oci config: oom scores that the kernel would refuse are raised") {
  Case guaranteed(pod_with_container("'resources':{'limits':{'cpu':'1','memory':'64Mi'}}"));
  CHECK(guaranteed.config().at({"process", "oomScoreAdj"})->int_or(0) == -997);
  guaranteed.host.min_oom_score_adj = 0;
  CHECK(guaranteed.config().at({"process", "oomScoreAdj"})->int_or(-1) == 0);
}

TEST_CASE("oci config: arguments") {
  struct Row {
    std::vector<std::string> entrypoint, cmd;
    std::string container, args;
  };
  for (const Row& row : {Row{{"/e"}, {"c"}, "", "/e c"}, Row{{}, {"/c", "d"}, "", "/c d"},
                         Row{{"/e"}, {"c"}, "'args':['x']", "/e x"}, Row{{"/e"}, {"c"}, "'command':['/k']", "/k"},
                         Row{{"/e"}, {"c"}, "'command':['/k'],'args':['$(V)','$$(V)']", "/k 1 $(V)"},
                         Row{{}, {}, "", "error: no command specified"}, Row{{}, {"c"}, "'args':['x']", "x"}}) {
    CAPTURE(row.container);
    Case one(pod_with_container(row.container));
    one.image.entrypoint = row.entrypoint;
    one.image.cmd = row.cmd;
    one.env = {{"V", "1"}};
    const auto made = one.make();
    CHECK((made ? list(made->at({"process", "args"})) : "error: " + made.error().message()) == row.args);
  }
}

TEST_CASE("oci config: environment") {
  Case one(pod_with_container(""));
  one.image.env = {"A=image", "PATH=/bin"};
  one.env = {{"A", "pod"}, {"B", "2"}};
  CHECK(list(one.config().at({"process", "env"})) == "PATH=/bin HOSTNAME=web A=pod B=2");
}

TEST_CASE("oci config: working directories (CVE-2024-21626)") {
  struct Row {
    std::string image, container, out;
  };
  for (const Row& row :
       {Row{"", "", "/"}, Row{"/srv", "", "/srv"}, Row{"/srv", "/app/../x", "/x"}, Row{"", "../../a", "/a"},
        Row{"/proc/self/fd/8", "", "error: working directory \"/proc/self/fd/8\" is not allowed: it lies below /proc"},
        Row{"", "/sys/../proc/self/fd/8",
            "error: working directory \"/sys/../proc/self/fd/8\" is not allowed: it lies below /proc"},
        Row{"", "/dev/fd/8", "error: working directory \"/dev/fd/8\" is not allowed: it lies below /dev/fd"},
        Row{"/procession", "", "/procession"}}) {
    CAPTURE(row.image, row.container);
    Case one(pod_with_container("'workingDir':'" + row.container + "'"));
    one.image.working_dir = row.image;
    const auto made = one.make();
    CHECK((made ? std::string(made->at({"process", "cwd"})->string_or()) : "error: " + made.error().message()) ==
          row.out);
  }
}

TEST_CASE("oci config: mounts") {
  Case one(pod_with_container(
      "'terminationMessagePath':'/dev/termination-log','volumeMounts':[{'name':'deep','mountPath':'/a/b/c'},"
      "{'name':'top','mountPath':'/a/','readOnly':true},{'name':'shm','mountPath':'/dev/shm'}]"));
  one.volumes = {{"deep", "/v/deep"}, {"top", "/v/top"}, {"shm", "/v/shm"}};
  one.image_volumes = {{"/data", "/v/image"}, {"../..", "/v/escape"}, {"/a", "/v/hidden"}};
  const json::Value config = one.config();
  std::vector<std::string> order;
  for (const json::Value& mount : config.find("mounts")->as_array()) {
    order.push_back(cat(mount.find("destination")->string_or(), "=", mount.find("source")->string_or()));
  }
  CHECK(join(order, " ") ==
        "/proc=proc /dev=tmpfs /dev/pts=devpts /dev/mqueue=mqueue /sys=sysfs /sys/fs/cgroup=cgroup /a=/v/top "
        "/data=/v/image /dev/shm=/v/shm "
        "/etc/hostname=/k/hostname /etc/hosts=/k/etc-hosts /etc/resolv.conf=/k/resolv.conf /dev/termination-log=/k/log "
        "/a/b/c=/v/deep");
  CHECK(list(find_mount(config, "/a")->find("options")) == "rbind rprivate ro");

  CHECK(Case(pod_with_container("'volumeMounts':[{'name':'v','mountPath':'/v'}]")).error() ==
        "volume \"v\" is not mounted on the node");
  Case root(pod_with_container("'volumeMounts':[{'name':'v','mountPath':'/x/..'}]"));
  root.volumes = {{"v", "/v"}};
  CHECK(root.error() == "volume \"v\" cannot be mounted at /");
}

TEST_CASE("oci config: namespaces") {
  const auto text = [](const Case& one) {
    std::vector<std::string> out;
    const json::Value config = one.config();
    for (const json::Value& item : config.at({"linux", "namespaces"})->as_array()) {
      const json::Value* path = item.find("path");
      out.push_back(
          cat(item.find("type")->string_or(), path != nullptr ? "=" : "", path != nullptr ? path->string_or() : ""));
    }
    return join(out, " ");
  };
  Case plain(pod_with_container(""));
  CHECK(text(plain) ==
        "mount pid network=/run/kayak/pods/u-1/net ipc=/run/kayak/pods/u-1/ipc uts=/run/kayak/pods/u-1/uts");
  plain.host.cgroup_v2 = true;
  CHECK(text(plain).find(" cgroup") != std::string::npos);
  Case host(pod_with("{'hostPID':true,'containers':[{'name':'c'}]}"));
  host.sandbox.net_ns.clear();
  host.sandbox.uts_ns.clear();
  host.sandbox.ipc_ns.clear();
  CHECK(text(host) == "mount");
  Case shared(pod_with_container(""));
  shared.sandbox.pid_ns = "/run/kayak/pods/u-1/pid";
  CHECK(text(shared).find("pid=/run/kayak/pods/u-1/pid") != std::string::npos);
}

TEST_CASE("oci config: resources on cgroup v1 and v2") {
  Case one(pod_with_container("'resources':{'limits':{'cpu':'250m','memory':'32Mi'},'requests':{'cpu':'100m'}}"));
  CHECK(json::write(*one.config().at({"linux", "resources", "cpu"})) ==
        "{\"shares\":102,\"quota\":25000,\"period\":100000}");
  CHECK(json::write(*one.config().at({"linux", "resources", "memory"})) == "{\"limit\":33554432}");
  CHECK(one.config().at({"linux", "resources", "unified"}) == nullptr);
  one.host.swap_accounting = true;
  CHECK(json::write(*one.config().at({"linux", "resources", "memory"})) == "{\"limit\":33554432,\"swap\":33554432}");
  one.host.cgroup_v2 = true;
  CHECK(json::write(*one.config().at({"linux", "resources", "unified"})) == "{\"memory.oom.group\":\"1\"}");
}

TEST_CASE("oci config: annotations and labels never reach the runtime (CVE-2024-3154)") {
  json::Value pod = pod_with_container("");
  pod["metadata"]["annotations"]["org.systemd.property.ExecStart"] = "'evil-marker'";
  CHECK(json::write(Case(pod).config()).find("evil-marker") == std::string::npos);
}

}  // namespace
}  // namespace kayak::agent
