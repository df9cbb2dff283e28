// validation_access_test.cc: the rules of RBAC, certificates, admission, custom resources, API services, flow control
// and devices, a row each; and that what the server makes itself keeps them all.
#include <catch2/catch.hpp>

#include "api/kind.h"
#include "api/support_validation.h"
#include "api/validation/validation.h"
#include "base/strings.h"
#include "support/api_fixture.h"

using namespace kayak;
using namespace kayak::api;
using kayak::test::check_creates;
using kayak::test::check_updates;
using kayak::test::kLabel;
using kayak::test::kSubdomain;

namespace {

const Kind& kind_of(const char* group, const char* plural) {
  const Kind* kind = find_kind(group, "v1", plural);
  REQUIRE(kind != nullptr);
  return *kind;
}
const Kind& rbac(const char* plural) { return kind_of("rbac.authorization.k8s.io", plural); }
const Kind& admission(const char* plural) { return kind_of("admissionregistration.k8s.io", plural); }
const Kind& devices(const char* plural) { return kind_of("resource.k8s.io", plural); }

// Made with `openssl req`: O=system:nodes, CN=system:node:a, P-256.
const char* kRequest =
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIck1JR1JBZ0VBTUM4eEZUQVRCZ05WQkFvTURITjVjM1JsYlRw"
    "dWIyUmxjekVXTUJRR0ExVUVBd3dOYzNsegpkR1Z0T201dlpHVTZZVEJaTUJNR0J5cUdTTTQ5QWdFR0NDcUdTTTQ5QXdFSEEwSUFC"
    "TUNpTXBxeWhKOU9UZngyCnd1RXBQbXNDamNxNXdZNWJVNHFxSFVCeHNhcHFnUUdzcWlBUnA3TlYzRnVkM0tTVFZWY1UzOFdaK2sw"
    "cDRaaWMKYlJsQm44ZWdBREFLQmdncWhrak9QUVFEQWdOSkFEQkdBaUVBbkh1aytLWnJub0w1SGFvbEE2QnEwZnZIN0VEUApMbDk2"
    "MWp0RitEQUxFUEVDSVFDUTlucm5pQjF2bHlFSVF6T3IvVkQzYzNubEtSWEt5ZXIxRjVITlV5TlpEdz09Ci0tLS0tRU5EIENFUlRJ"
    "RklDQVRFIFJFUVVFU1QtLS0tLQo=";
const char* kCertificate =
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJiakNDQVJPZ0F3SUJBZ0lVSUhobTlESU5URVNOOHZpdWxFVEI2d2hwQ09F"
    "d0NnWUlLb1pJemowRUF3SXcKRERFS01BZ0dBMVVFQXd3QllUQWVGdzB5TmpFeE1qa3hOekF5TkRsYUZ3MHpOakV4TWpZeE56QXlO"
    "RGxhTUF3eApDakFJQmdOVkJBTU1BV0V3V1RBVEJnY3Foa2pPUFFJQkJnZ3Foa2pPUFFNQkJ3TkNBQVRBb2pLYXNvU2ZUazM4CmRz"
    "TGhLVDVyQW8zS3VjR09XMU9LcWgxQWNiR3Fhb0VCcktvZ0VhZXpWZHhibmR5a2sxVlhGTi9GbWZwTktlR1kKbkcwWlFaL0hvMU13"
    "VVRBZEJnTlZIUTRFRmdRVUF4RnZvMXM0TmFtVWUyT1hNdXhPUzFGaXJmY3dId1lEVlIwagpCQmd3Rm9BVUF4RnZvMXM0TmFtVWUy"
    "T1hNdXhPUzFGaXJmY3dEd1lEVlIwVEFRSC9CQVV3QXdFQi96QUtCZ2dxCmhrak9QUVFEQWdOSkFEQkdBaUVBMGg0eitvb25zUlFY"
    "NGViY0s5U2JaWTRKdWxRbHovTThiSlI1OWxoSDd2QUMKSVFENlNJNnlOWE1aa2tmMFNaWkZIR2l6S1VNOXpkaFdtb25JeTJGaURZ"
    "cWVlZz09Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K";

// The request with one bit of its signature changed.
std::string forged_request() {
  std::string pem;
  REQUIRE(base64_decode(kRequest, &pem));
  const std::size_t at = pem.find("\n-----END") - 20;
  pem[at] = pem[at] == 'A' ? 'B' : 'A';
  return base64_encode(pem);
}

const std::string kDns1035 =
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')";
const std::string kImmutable = ": field is immutable";

}  // namespace

TEST_CASE("roles and bindings") {
  const char* role = R"({"metadata":{"name":"a:b","namespace":"d"},)"
                     R"("rules":[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}]})";
  check_creates(
      rbac("roles"), role,
      {
          {"", ""},
          {R"(metadata.name = "a/b")", "metadata.name: Invalid value: \"a/b\": may not contain '/'"},
          {R"(rules[0] = {"verbs":[]})",
           "[rules[0].verbs: Required value: verbs must contain at least one value, rules[0].apiGroups: Required "
           "value: "
           "resource rules must supply at least one api group, rules[0].resources: Required value: resource rules must "
           "supply at least one resource]"},
          {R"(rules[0] = {"verbs":["get"],"nonResourceURLs":["/x"]})",
           "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs"},
      });
  const char* cluster_role = R"({"metadata":{"name":"a"},"rules":[{"verbs":["get"],"nonResourceURLs":["/x"]}]})";
  check_creates(
      rbac("clusterroles"), cluster_role,
      {
          {"", ""},
          {R"(aggregationRule = {"clusterRoleSelectors":[{"matchLabels":{"a":"b"}}]})", ""},
          {R"(rules[0].resources = ["pods"])",
           "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: rules cannot apply to both regular resources and "
           "non-resource URLs"},
          {"aggregationRule = {}",
           "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if "
           "aggregationRule is non-nil"},
      });
  check_updates(rbac("clusterroles"), "", cluster_role, {{"", R"(rules[0].nonResourceURLs = ["/y"])", ""}});

  const char* binding = R"({"metadata":{"name":"a","namespace":"d"},)"
                        R"("roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"},)"
                        R"("subjects":[{"kind":"ServiceAccount","name":"s"}]})";
  check_creates(
      rbac("rolebindings"), binding,
      {
          {"", ""},
          {R"(subjects = [{"kind":"User","name":"u","apiGroup":"rbac.authorization.k8s.io"}])", ""},
          {R"(roleRef = {"apiGroup":"x","kind":"Other","name":""})",
           "[roleRef.apiGroup: Unsupported value: \"x\": supported values: \"rbac.authorization.k8s.io\", "
           "roleRef.kind: "
           "Unsupported value: \"Other\": supported values: \"Role\", \"ClusterRole\", roleRef.name: Required value]"},
          {R"(subjects = [{"kind":"Other","name":"u"}])",
           "subjects[0].kind: Unsupported value: \"Other\": supported values: \"ServiceAccount\", \"User\", \"Group\""},
          {R"(subjects = [{"kind":"User","name":"","apiGroup":"x"}])",
           "[subjects[0].name: Required value, subjects[0].apiGroup: Unsupported value: \"x\": supported values: "
           "\"rbac.authorization.k8s.io\"]"},
          {R"(subjects = [{"kind":"ServiceAccount","name":"S","apiGroup":"x"}])",
           "[subjects[0].name: Invalid value: \"S\": " + kSubdomain +
               ", subjects[0].apiGroup: Unsupported value: \"x\": supported values: \"\"]"},
      });
  check_updates(rbac("rolebindings"), "", binding,
                {
                    {"", "subjects = []", ""},
                    {"", R"(roleRef.name = "s")",
                     "roleRef: Invalid value: {\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"Role\","
                     "\"name\":\"s\"}: cannot change roleRef"},
                });
  check_creates(
      rbac("clusterrolebindings"),
      R"({"metadata":{"name":"a"},)"
      R"("roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"r"},)"
      R"("subjects":[{"kind":"ServiceAccount","name":"s","namespace":"d"}]})",
      {
          {"", ""},
          {R"(roleRef.kind = "Role")", "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\""},
          {"subjects[0].namespace = -", "subjects[0].namespace: Required value"},
      });
}

TEST_CASE("certificate signing requests") {
  const Kind& kind = kind_of("certificates.k8s.io", "certificatesigningrequests");
  const std::string request = cat(R"({"metadata":{"name":"a"},"spec":{"request":")", kRequest,
                                  R"(","signerName":"kubernetes.io/kubelet-serving","usages":["server auth"]}})");
  const std::string conditions = "status.conditions: ";
  check_creates(
      kind, request,
      {
          {"", ""},
          {R"(metadata.name = "A:b")", ""},
          {R"(spec.request = "eA==")",
           "spec.request: Invalid value: \"eA==\": PEM block type must be CERTIFICATE REQUEST"},
          {"spec.usages = []", "spec.usages: Required value"},
          {R"(spec.usages = ["server auth","server auth"])", "spec.usages[1]: Duplicate value: \"server auth\""},
          {"spec.signerName = -", "spec.signerName: Required value"},
          {R"(spec.signerName = "kubernetes.io/legacy-unknown")",
           "spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy signerName is not allowed via "
           "this API version"},
          {R"(spec.signerName = "x")",
           "spec.signerName: Invalid value: \"x\": must be a fully qualified domain and path of the form "
           "'example.com/signer-name'"},
          {R"(spec.signerName = "x/y")",
           "spec.signerName: Invalid value: \"x\": should be a domain with at least two segments separated by dots"},
          {R"(spec.signerName = "A.b/y")",
           "spec.signerName: Invalid value: \"A.b\": validating label \"A\": " + kLabel},
          {"spec.expirationSeconds = 599",
           "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)"},
          {R"(status.conditions = [{"type":"Approved","status":"False"},{"type":"","status":"Maybe"}])",
           "[status.conditions[0].status: Unsupported value: \"False\": supported values: \"True\", "
           "status.conditions[1].type: Required value, status.conditions[1].status: Unsupported value: \"Maybe\": "
           "supported values: \"False\", \"True\", \"Unknown\"]"},
          {R"(status.certificate = "eA==")",
           "status.certificate: Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE PEM "
           "block"},
          {cat("status.certificate = \"", kCertificate, "\""), ""},
          {cat("status.certificate = \"", kRequest, "\""),
           "status.certificate: Invalid value: \"<certificate data>\": only CERTIFICATE PEM blocks are allowed, found "
           "\"CERTIFICATE REQUEST\""},
      });
  const json::Value changed_request =
      test::changed(*json::read(request), cat("spec.request = \"", forged_request(), "\""));
  const json::Value forged = test::stored_object(kind, json::write(changed_request));
  std::vector<std::string> warnings;
  const field::ErrorList errors = validation::validate_create(kind, forged, warnings);
  REQUIRE(errors.size() == 1);
  CHECK(errors[0].field == "spec.request");

  const std::string approved = R"(status.conditions = [{"type":"Approved","status":"True"}])";
  const std::string denied =
      R"(status.conditions = [{"type":"Approved","status":"True"},{"type":"Denied","status":"True"}])";
  check_updates(
      kind, "approval", request,
      {
          {"", approved, ""},
          {"", denied,
           "status.conditions: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive"},
          {approved, "status.conditions = []",
           conditions + "Forbidden: updates may not remove a condition of type \"Approved\""},
          {"", cat("status.certificate = \"", kCertificate, "\""),
           "status.certificate: Forbidden: updates may not set certificate content"},
      });
  check_updates(kind, "status", request,
                {
                    {approved, cat("status.certificate = \"", kCertificate, "\""), ""},
                    {"", approved, conditions + "Forbidden: updates may not add a condition of type \"Approved\""},
                    {cat("status.certificate = \"", kCertificate, "\""), "status.certificate = -",
                     "status.certificate: Forbidden: updates may not modify existing certificate content"},
                });
}

TEST_CASE("admission webhooks") {
  const char* webhooks =
      R"({"metadata":{"name":"a"},"webhooks":[{"name":"a.b.c","sideEffects":"None",)"
      R"("admissionReviewVersions":["v1"],"clientConfig":{"service":{"namespace":"d","name":"s"}},)"
      R"("rules":[{"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["pods"]}]}]})";
  const Kind& kind = admission("validatingwebhookconfigurations");
  const std::string hook = "webhooks[0]";
  const std::string form = "; desired format: https://host[/path]";
  check_creates(
      kind, webhooks,
      {
          {"", ""},
          {R"(webhooks[0].clientConfig = {"url":"https://a.b/c"})", ""},
          {R"(webhooks[0].name = "a.b")",
           hook + ".name: Invalid value: \"a.b\": should be a domain with at least three segments separated by dots"},
          {"webhooks[0].sideEffects = -",
           hook + ".sideEffects: Required value: must specify one of None, NoneOnDryRun"},
          {R"(webhooks[0].sideEffects = "Some")",
           hook + ".sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\""},
          {"webhooks[0].timeoutSeconds = 31",
           hook + ".timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"},
          {"webhooks[0].admissionReviewVersions = []",
           hook + ".admissionReviewVersions: Required value: must specify one of v1, v1beta1"},
          {R"(webhooks[0].admissionReviewVersions = ["v2"])",
           hook + ".admissionReviewVersions: Invalid value: [\"v2\"]: must include at least one of v1, v1beta1"},
          {"webhooks[0].clientConfig = {}",
           hook + ".clientConfig: Required value: exactly one of url or service is required"},
          {R"(webhooks[0].clientConfig = {"url":"http://u@a.b/?q#f"})",
           "[" + hook + ".clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme" + form +
               ", " + hook + ".clientConfig.url: Invalid value: \"u\": user information is not permitted in the URL, " +
               hook + ".clientConfig.url: Invalid value: \"f\": fragments are not permitted in the URL, " + hook +
               ".clientConfig.url: Invalid value: \"q\": query parameters are not permitted in the URL]"},
          {R"(webhooks[0].clientConfig = {"url":"https:///x"})",
           hook + ".clientConfig.url: Invalid value: \"\": host must be specified" + form},
          {R"(webhooks[0].clientConfig.service = {"namespace":"","name":"s","path":"/a//b","port":0})",
           "[" + hook + ".clientConfig.service.name: Required value, " + hook +
               ".clientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, "
               "inclusive, " +
               hook + ".clientConfig.service.path: Invalid value: \"/a//b\": segment[1] may not be empty]"},
          {R"(webhooks[0].rules[0] = {"operations":["*","CREATE"],"apiGroups":["*","x"],"apiVersions":[],)"
           R"("resources":["pods/*","pods/log","*","services"],"scope":"Other"})",
           "[" + hook +
               ".rules[0].operations: Invalid value: [\"*\",\"CREATE\"]: if '*' is present, must not specify "
               "other operations, " +
               hook +
               ".rules[0].apiGroups: Invalid value: [\"*\",\"x\"]: if '*' is present, must not specify other API "
               "groups, " +
               hook + ".rules[0].apiVersions: Required value, " + hook +
               ".rules[0].resources[1]: Invalid value: \"pods/log\": if 'pods/*' is present, must not specify "
               "pods/log, " +
               hook +
               ".rules[0].resources: Invalid value: [\"pods/*\",\"pods/log\",\"*\",\"services\"]: if '*' is present, "
               "must "
               "not specify other resources without subresources, " +
               hook +
               ".rules[0].scope: Unsupported value: \"Other\": supported values: \"*\", \"Cluster\", "
               "\"Namespaced\"]"},
          {R"(webhooks[0].matchConditions = [{"name":"a","expression":" "},{"name":"a","expression":"true"}])",
           "[" + hook + ".matchConditions[0].expression: Required value, " + hook +
               ".matchConditions[1].name: Duplicate value: \"a\"]"},
      });
  check_updates(kind, "", webhooks,
                {
                    {"", "webhooks[0].timeoutSeconds = 5", ""},
                    // What was wrong before may stay wrong.
                    {R"(webhooks[0].sideEffects = "Some")", "webhooks[0].timeoutSeconds = 5", ""},
                    {R"(webhooks[0].admissionReviewVersions = ["v2"])", "webhooks[0].timeoutSeconds = 5", ""},
                });
  check_creates(admission("mutatingwebhookconfigurations"), webhooks,
                {
                    {"", ""},
                    {R"(webhooks[0].reinvocationPolicy = "Other")",
                     hook + ".reinvocationPolicy: Unsupported value: \"Other\": supported values: \"IfNeeded\", "
                            "\"Never\""},
                });
}

TEST_CASE("admission policies and their bindings") {
  const char* policy = R"({"metadata":{"name":"a"},"spec":{"matchConstraints":{"resourceRules":[)"
                       R"({"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["pods"]}]},)"
                       R"("validations":[{"expression":"true"}]}})";
  const Kind& validating = admission("validatingadmissionpolicies");
  check_creates(
      validating, policy,
      {
          {"", ""},
          {R"(spec.paramKind = {"apiVersion":"v1","kind":"ConfigMap"})", ""},
          {"spec.matchConstraints = -", "spec.matchConstraints: Required value"},
          {"spec.matchConstraints = {}", "spec.matchConstraints.resourceRules: Required value"},
          {R"(spec.paramKind = {"apiVersion":"a/b/c","kind":"-"})",
           "[spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c, "
           "spec.paramKind.kind: Invalid value: \"-\": may have mixed case, but should otherwise match: " +
               kDns1035 + "]"},
          {"spec.validations = []",
           "[spec.validations: Required value: validations or auditAnnotations must contain at least one item, "
           "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item]"},
          {R"(spec.validations = [{"expression":" ","message":"a\nb","reason":"Other"}])",
           "[spec.validations[0].expression: Required value: expression is not specified, spec.validations[0].message: "
           "Invalid value: \"a\\nb\": must not contain line breaks, spec.validations[0].reason: Unsupported value: "
           "\"Other\": supported values: \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\"]"},
          {R"(spec.variables = [{"name":"if","expression":""}])",
           "[spec.variables[0].name: Invalid value: \"if\": must be a valid CEL identifier, "
           "spec.variables[0].expression: Required value: expression is not specified]"},
          {R"(spec.auditAnnotations = [{"key":"k","valueExpression":"'x'"},{"key":"k","valueExpression":""}])",
           "[spec.auditAnnotations[1].valueExpression: Required value: valueExpression is not specified, "
           "spec.auditAnnotations[1].key: Duplicate value: \"k\"]"},
      });
  check_updates(
      validating, "", policy,
      {
          {"", R"(spec.failurePolicy = "Ignore")", ""},
          {R"(spec.matchConditions = [{"name":"a","expression":""}])", R"(spec.failurePolicy = "Ignore")", ""},
      });
  check_updates(validating, "status", policy,
                {
                    {"", R"(status.typeChecking.expressionWarnings = [{"fieldRef":"spec.x","warning":"w"}])", ""},
                    {"", R"(status.typeChecking.expressionWarnings = [{"fieldRef":"","warning":""}])",
                     "[status.typeChecking.expressionWarnings[0].warning: Required value, "
                     "status.typeChecking.expressionWarnings[0].fieldRef: Required value]"},
                });

  const char* mutating =
      R"({"metadata":{"name":"a"},"spec":{"matchConstraints":{"resourceRules":[)"
      R"({"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["pods"]}]},)"
      R"("reinvocationPolicy":"Never","mutations":[{"patchType":"JSONPatch","jsonPatch":{"expression":"[]"}}]}})";
  check_creates(
      admission("mutatingadmissionpolicies"), mutating,
      {
          {"", ""},
          {R"(spec.matchConstraints.resourceRules[0].operations = ["DELETE"])",
           "spec.matchConstraints.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", "
           "\"CONNECT\", \"CREATE\", \"UPDATE\""},
          {"spec.mutations = []", "spec.mutations: Required value: mutations must contain at least one item"},
          {R"(spec.mutations = [{"patchType":"ApplyConfiguration","jsonPatch":{"expression":"[]"}}])",
           "[spec.mutations[0].applyConfiguration: Required value: must be specified when patchType is "
           "ApplyConfiguration, spec.mutations[0].jsonPatch: Invalid value: \"{jsonPatch}\": must not be specified "
           "when "
           "patchType is ApplyConfiguration]"},
          {"spec.reinvocationPolicy = -", "spec.reinvocationPolicy: Required value"},
      });

  const char* binding = R"({"metadata":{"name":"a"},"spec":{"policyName":"p","validationActions":["Deny"],)"
                        R"("paramRef":{"name":"n","parameterNotFoundAction":"Deny"}}})";
  check_creates(
      admission("validatingadmissionpolicybindings"), binding,
      {
          {"", ""},
          {"spec.policyName = -", "spec.policyName: Required value"},
          {"spec.validationActions = []",
           "spec.validationActions: Required value: at least one validation action is required"},
          {R"(spec.validationActions = ["Deny","Warn"])",
           "spec.validationActions: Invalid value: [\"Deny\",\"Warn\"]: must not contain both Deny and Warn (repeating "
           "the same validation failure information in the API response and headers serves no purpose)"},
          {"spec.paramRef.selector = {}",
           "[spec.paramRef.name: Forbidden: name and selector are mutually exclusive, spec.paramRef.selector: "
           "Forbidden: name and selector are mutually exclusive]"},
          {"spec.paramRef = {}",
           "[spec.paramRef: Required value: one of name or selector must be specified, "
           "spec.paramRef.parameterNotFoundAction: Required value]"},
      });
}

TEST_CASE("custom resource definitions") {
  const Kind& kind = kind_of("apiextensions.k8s.io", "customresourcedefinitions");
  const char* crd =
      R"({"metadata":{"name":"foos.example.com"},"spec":{"group":"example.com","scope":"Namespaced",)"
      R"("names":{"plural":"foos","singular":"foo","kind":"Foo","listKind":"FooList"},)"
      R"("versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object",)"
      R"("properties":{"spec":{"type":"object","properties":{"a":{"type":"string"}}}}}}}]},)"
      R"("status":{"storedVersions":["v1"]}})";
  const std::string schema = "spec.versions[0].schema.openAPIV3Schema";
  const std::string at = "spec.validation.openAPIV3Schema";
  const std::string spec = schema + ".properties.spec";
  const std::string at_spec = at + ".properties[spec]";
  check_creates(
      kind, crd,
      {
          {"", ""},
          {spec +
               R"( = {"type":"array","items":{"type":"object","properties":{"k":{"type":"string"}},"required":["k"]},)"
               R"("x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"]})",
           ""},
          {spec + R"( = {"x-kubernetes-int-or-string":true,"anyOf":[{"type":"integer"},{"type":"string"}]})", ""},
          {spec + R"( = {"type":"object","x-kubernetes-preserve-unknown-fields":true})", ""},
          {R"(metadata.name = "x.y")",
           "metadata.name: Invalid value: \"x.y\": must be spec.names.plural+\".\"+spec.group"},
          {"spec.group = \"x\"\nmetadata.name = \"foos.x\"",
           "spec.group: Invalid value: \"x\": should be a domain with at least one dot"},
          {"spec.scope = -", "spec.scope: Required value"},
          {R"(spec.names.listKind = "Foo")",
           "spec.names.listKind: Invalid value: \"Foo\": kind and listKind may not be the same"},
          {R"(spec.names.shortNames = ["F"])", "spec.names.shortNames[0]: Invalid value: \"F\": " + kDns1035},
          {"spec.versions[0].storage = false",
           "spec.versions: Invalid value: [{\"name\":\"v1\",\"served\":true,\"storage\":false,\"schema\":"
           "{\"openAPIV3Schema\":{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\",\"properties\":"
           "{\"a\":{\"type\":\"string\"}}}}}}}]: must have exactly one version marked as storage version"},
          {R"(spec.versions[0].name = "V1")",
           "[spec.versions[0].name: Invalid value: \"V1\": " + kDns1035 +
               ", status.storedVersions: Invalid value: [\"v1\"]: must have the storage version V1, "
               "status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was previously a "
               "storage "
               "version, and must remain in spec.versions until a storage migration ensures no data remains persisted "
               "in "
               "v1 and removes v1 from status.storedVersions]"},
          {"spec.versions[0].schema = -", schema + ": Required value"},
          {"spec.preserveUnknownFields = true",
           "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set "
           "x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"},
          {R"(spec.versions[0].additionalPrinterColumns = [{"name":"","type":"x","jsonPath":"a"}])",
           "[spec.additionalPrinterColumns[0].name: Required value, spec.additionalPrinterColumns[0].type: Invalid "
           "value: "
           "\"x\": must be one of boolean,date,integer,number,string, spec.additionalPrinterColumns[0].JSONPath: "
           "Invalid "
           "value: \"a\": must be a simple json path starting with .]"},
          {R"(spec.versions[0].subresources = {"scale":{"specReplicasPath":".x.y","statusReplicasPath":""}})",
           "[spec.subresources.scale.specReplicasPath: Invalid value: \".x.y\": should be a json path under .spec, "
           "spec.subresources.scale.statusReplicasPath: Required value]"},
          {R"(spec.conversion = {"strategy":"Webhook","webhook":{"conversionReviewVersions":[]}})",
           "[spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook, "
           "spec.conversion.conversionReviewVersions: Required value]"},
          {R"(spec.conversion = {"strategy":"None","webhook":{"conversionReviewVersions":["v1"]}})",
           "spec.conversion.conversionReviewVersions: Forbidden: should not be set when strategy is not set to "
           "Webhook"},
          {schema + ".type = -", at + ".type: Required value: must not be empty at the root"},
          {schema + R"(.type = "array")", "[" + at + ".items: Required value: must be specified, " + at +
                                              ".type: Invalid value: \"array\": must be object at the root]"},
          {spec + ".type = -", at_spec + ".type: Required value: must not be empty for specified object fields"},
          {spec + R"(.type = "strange")",
           at_spec + ".type: Unsupported value: \"strange\": supported values: \"array\", \"boolean\", \"integer\", "
                     "\"number\", \"object\", \"string\""},
          {spec + ".uniqueItems = true",
           at_spec + ".uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes "
                     "quadratic"},
          {spec + R"(.anyOf = [{"type":"object","nullable":true}])",
           "[" + at_spec + ".anyOf[0].nullable: Forbidden: must be false to be structural, " + at_spec +
               ".anyOf[0].type: Forbidden: must be empty to be structural]"},
          {schema + R"(.anyOf = [{"properties":{"b":{"minLength":1}}}])",
           at + ".properties[b]: Required value: because it is defined in " + at + ".anyOf[0].properties[b]"},
          {spec + R"(.additionalProperties = {"type":"string"})",
           at_spec + ".additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"},
          {spec + R"(.patternProperties = {"x":{"type":"string"}})",
           at_spec + ".patternProperties: Forbidden: patternProperties is not supported"},
          {spec + R"(.x-kubernetes-list-type = "set")",
           at_spec + ".type: Invalid value: \"object\": must be array if x-kubernetes-list-type is specified"},
          {spec + R"( = {"type":"array","items":{"type":"object","properties":{"k":{"type":"string"}}},)"
                  R"("x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k","z"]})",
           "[" + at_spec +
               ".x-kubernetes-list-map-keys: Invalid value: [\"k\",\"z\"]: entries must all be names of item "
               "properties, " +
               at_spec +
               ".items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, "
               "so it must have a default or be a required property]"},
          {spec + R"(.x-kubernetes-validations = [{"rule":" ","reason":"Other"}])",
           "[" + at_spec + ".x-kubernetes-validations[0].rule: Required value: rule is not specified, " + at_spec +
               ".x-kubernetes-validations[0].reason: Unsupported value: \"Other\": supported values: "
               "\"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"]"},
          {schema + R"(.properties.metadata = {"type":"object","properties":{"labels":{"type":"object"}}})",
           at + ".properties[metadata]: Forbidden: must not specify anything other than name and generateName, but "
                "metadata is implicitly specified"},
          {R"(spec.versions[0].selectableFields = [{"jsonPath":".spec.b"}])",
           "spec.selectableFields[0].jsonPath: Invalid value: \".spec.b\": is an invalid path: does not refer to a "
           "valid "
           "field"},
      });
  // Versions that differ are named each.
  const std::string second = R"(spec.versions[1] = {"name":"v2","served":true,"storage":false,"schema":{)"
                             R"("openAPIV3Schema":{"type":"object","properties":{"a":{}}}}})";
  check_creates(kind, crd,
                {{second,
                  "spec.versions[1].schema.openAPIV3Schema.properties[a].type: Required value: must not be empty "
                  "for specified object fields"}});
  check_creates(
      kind, crd,
      {{"spec.group = \"x.k8s.io\"\nmetadata.name = \"foos.x.k8s.io\"",
        "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval "
        "annotation \"api-approved.kubernetes.io\", see "
        "https://github.com/kubernetes/enhancements/pull/1111"}});
  const std::string established = R"(status.conditions = [{"type":"Established","status":"True"}])";
  check_updates(kind, "", crd,
                {
                    {"", spec + R"(.properties.b = {"type":"string"})", ""},
                    {"", R"(spec.scope = "Cluster")", ""},
                    {established, R"(spec.scope = "Cluster")", "spec.scope: Invalid value: \"Cluster\"" + kImmutable},
                    {"", R"(spec.group = "example.org")", "spec.group: Invalid value: \"example.org\"" + kImmutable},
                });
  check_updates(kind, "status", crd,
                {
                    {"", R"(status.acceptedNames = {"plural":"foos","kind":"Foo","listKind":"FooList"})", ""},
                    {"", R"(status.acceptedNames = {"plural":"Foos","kind":"Foo"})",
                     "status.acceptedNames.plural: Invalid value: \"Foos\": " + kDns1035},
                });
}

TEST_CASE("API services") {
  const char* service =
      R"({"metadata":{"name":"v1.example.com"},"spec":{"group":"example.com","version":"v1",)"
      R"("groupPriorityMinimum":100,"versionPriority":10,"service":{"namespace":"d","name":"s","port":443}}})";
  check_creates(
      kinds::api_services(), service,
      {
          {"", ""},
          {R"(metadata.name = "v2.example.com")",
           "metadata.name: Invalid value: \"v2.example.com\": must be `spec.version+\".\"+spec.group`: "
           "\"v1.example.com\""},
          {"spec.groupPriorityMinimum = 20001",
           "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000"},
          {"spec.versionPriority = 0", "spec.versionPriority: Invalid value: 0: must be positive and less than 1000"},
          {R"(spec.service = {"namespace":"","name":"","port":0})",
           "[spec.service.namespace: Required value, spec.service.name: Required value, spec.service.port: Invalid "
           "value: "
           "0: port is not valid: must be between 1 and 65535, inclusive]"},
          {"spec.insecureSkipTLSVerify = true\nspec.caBundle = \"eA==\"",
           "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present"},
          {"spec.service = -\nspec.caBundle = \"eA==\"",
           "spec.caBundle: Invalid value: \"1 bytes\": local APIServices may not have a caBundle"},
      });
  check_updates(
      kinds::api_services(), "status", service,
      {
          {"", R"(status.conditions = [{"type":"Available","status":"True"}])", ""},
          {"", R"(status.conditions = [{"type":"Available","status":"Maybe"}])",
           "status.conditions[0].status: Unsupported value: \"Maybe\": supported values: \"True\", \"False\", "
           "\"Unknown\""},
      });
}

TEST_CASE("flow schemas and priority levels") {
  const char* flow =
      R"({"metadata":{"name":"a"},"spec":{"matchingPrecedence":500,)"
      R"("priorityLevelConfiguration":{"name":"p"},"rules":[{"subjects":[{"kind":"User","user":{"name":"u"}}],)"
      R"("resourceRules":[{"verbs":["get"],"apiGroups":["*"],"resources":["*"],"namespaces":["*"]}]}]}})";
  const std::string rule = "spec.rules[0]";
  const std::string resource = rule + ".resourceRules[0]";
  check_creates(
      kinds::flow_schemas(), flow,
      {
          {"", ""},
          {"spec.matchingPrecedence = 1",
           "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1"},
          {"spec.matchingPrecedence = 10001",
           "spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000"},
          {R"(spec.distinguisherMethod = {"type":"Other"})",
           "spec.distinguisherMethod.type: Unsupported value: {\"type\":\"Other\"}: supported values: \"ByNamespace\", "
           "\"ByUser\""},
          {R"(spec.priorityLevelConfiguration = {"name":""})",
           "spec.priorityLevelConfiguration.name: Required value: must reference a priority level"},
          {R"(spec.rules[0] = {"subjects":[]})",
           "[" + rule + ".subjects: Required value: subjects must contain at least one value, " + rule +
               ": Required value: at least one of resourceRules and nonResourceRules has to be non-empty]"},
          {R"(spec.rules[0].subjects = [{"kind":"User","group":{"name":"g"}},{"kind":"Other"}])",
           "[" + rule + ".subjects[0].user: Required value: user is required when subject kind is 'User', " + rule +
               ".subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group', " + rule +
               ".subjects[1].kind: Unsupported value: \"Other\": supported values: \"Group\", \"ServiceAccount\", "
               "\"User\"]"},
          {R"(spec.rules[0].resourceRules[0] = {"verbs":["eat"],"apiGroups":["*","a"],"resources":["a"]})",
           "[" + resource +
               ".verbs: Unsupported value: [\"eat\"]: supported values: \"create\", \"delete\", "
               "\"deletecollection\", \"get\", \"list\", \"patch\", \"proxy\", \"update\", \"watch\", " +
               resource +
               ".apiGroups: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other api "
               "groups, " +
               resource +
               ".namespaces: Required value: resource rules that are not cluster scoped must supply at least "
               "one namespace]"},
          {R"(spec.rules[0].nonResourceRules = [{"verbs":["*"],"nonResourceURLs":["a","/*/b","/b/*"]}])",
           "[" + rule + ".nonResourceRules[0].nonResourceURLs[0]: Invalid value: \"a\": must start with slash, " +
               rule +
               ".nonResourceRules[0].nonResourceURLs[1]: Invalid value: \"/*/b\": wildcard can only do suffix "
               "matching]"},
          {R"(status.conditions = [{"type":""},{"type":""}])",
           "[status.conditions[0].type: Required value, status.conditions[1].type: Duplicate value: \"\", "
           "status.conditions[1].type: Required value]"},
      });
  const char* level =
      R"({"metadata":{"name":"a"},"spec":{"type":"Limited","limited":{"nominalConcurrencyShares":5,)"
      R"("limitResponse":{"type":"Queue","queuing":{"queues":64,"handSize":6,"queueLengthLimit":50}}}}})";
  const std::string queuing = "spec.limited.limitResponse.queuing";
  check_creates(
      kinds::priority_level_configurations(), level,
      {
          {"", ""},
          {R"(spec = {"type":"Exempt"})",
           "spec.type: Invalid value: \"Exempt\": must be 'Exempt' if and only if `name` is 'exempt'"},
          {"spec.limited = -", "spec.limited: Required value: must not be empty when type is Limited"},
          {"spec.limited.nominalConcurrencyShares = -1",
           "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer"},
          {"spec.limited.lendablePercent = 101",
           "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive"},
          {R"(spec.limited.limitResponse.type = "Reject")",
           queuing + ": Forbidden: must be nil if limited.limitResponse.type is not Limited"},
          {queuing + R"( = {"queues":4,"handSize":5,"queueLengthLimit":-1})",
           "[" + queuing + ".queueLengthLimit: Invalid value: -1: must be positive, " + queuing +
               ".handSize: Invalid value: 5: should not be greater than queues (4)]"},
          {queuing + R"( = {"queues":1024,"handSize":7,"queueLengthLimit":1})",
           queuing + ".handSize: Invalid value: 7: required entropy bits of deckSize 1024 and handSize 7 should not be "
                     "greater than 60"},
      });
  const char* exempt = R"({"metadata":{"name":"exempt"},"spec":{"type":"Exempt","exempt":{"lendablePercent":5}}})";
  check_creates(kinds::priority_level_configurations(), exempt, {{"", ""}});
  const char* catch_all = R"({"metadata":{"name":"catch-all"},"spec":{"type":"Limited","limited":)"
                          R"({"nominalConcurrencyShares":5,"lendablePercent":0,"limitResponse":{"type":"Reject"}}}})";
  check_creates(
      kinds::priority_level_configurations(), catch_all,
      {
          {"", ""},
          {"spec.limited.nominalConcurrencyShares = 6",
           "spec: Invalid value: {\"type\":\"Limited\",\"limited\":{\"nominalConcurrencyShares\":6,\"limitResponse\":"
           "{\"type\":\"Reject\"},\"lendablePercent\":0}}: spec of 'catch-all' must equal the fixed value"},
      });
}

TEST_CASE("device classes and claims") {
  check_creates(
      devices("deviceclasses"), R"({"metadata":{"name":"a"},"spec":{"selectors":[{"cel":{"expression":"true"}}]}})",
      {
          {"", ""},
          {"spec.selectors = [{}]", "spec.selectors[0].cel: Required value"},
          {R"(spec.config = [{"opaque":{"driver":"d.io","parameters":5}}])",
           "spec.config[0].opaque.parameters: Invalid value: \"<value omitted>\": must be a valid JSON object"},
          {R"(spec.extendedResourceName = "cpu")",
           "spec.extendedResourceName: Invalid value: \"cpu\": must be a valid extended resource name"},
      });
  const char* claim = R"({"metadata":{"name":"a","namespace":"d"},"spec":{"devices":{"requests":[)"
                      R"({"name":"r","exactly":{"deviceClassName":"c","allocationMode":"ExactCount","count":1}}]}}})";
  const std::string requests = "spec.devices.requests";
  check_creates(
      devices("resourceclaims"), claim,
      {
          {"", ""},
          {R"(spec.devices.constraints = [{"requests":["r"],"matchAttribute":"d.io/a"}])", ""},
          {R"(spec.devices.requests[1] = {"name":"r","firstAvailable":[{"name":"s","deviceClassName":"c",)"
           R"("allocationMode":"All"}]})",
           requests + "[1]: Duplicate value: \"r\""},
          {R"(spec.devices.requests[0] = {"name":"R"})",
           "[" + requests + "[0].name: Invalid value: \"R\": " + kLabel + ", " + requests +
               "[0]: Required value: exactly one of `exactly` or `firstAvailable` is required]"},
          {R"(spec.devices.requests[0].exactly = {"deviceClassName":"","allocationMode":"All","count":1})",
           "[" + requests + "[0].exactly.deviceClassName: Required value, " + requests +
               "[0].exactly.count: Invalid value: 1: must not be specified when allocationMode is 'All']"},
          {R"(spec.devices.requests[0].exactly.tolerations = [{"operator":"Exists","value":"v","effect":"Other"}])",
           "[" + requests +
               "[0].exactly.tolerations[0].value: Invalid value: \"v\": must be empty for operator "
               "`Exists`, " +
               requests +
               "[0].exactly.tolerations[0].effect: Unsupported value: \"Other\": supported values: "
               "\"NoExecute\", \"NoSchedule\", \"None\"]"},
          {R"(spec.devices.constraints = [{"requests":["x"],"matchAttribute":"a"}])",
           "[spec.devices.constraints[0].requests[0]: Invalid value: \"x\": must be the name of a request in the claim "
           "or "
           "the name of a request and a subrequest separated by '/', spec.devices.constraints[0].matchAttribute: "
           "Invalid "
           "value: \"a\": a fully qualified name must be a domain and a name separated by a slash]"},
      });
  check_updates(devices("resourceclaims"), "", claim, {{"", R"(metadata.labels = {"a":"b"})", ""}});
  const std::string allocation =
      R"(status.allocation = {"devices":{"results":[{"request":"r","driver":"d.io","pool":"p","device":"dev"}]}})";
  check_updates(
      devices("resourceclaims"), "status", claim,
      {
          {"", allocation, ""},
          {"", allocation + "\nstatus.reservedFor = [{\"resource\":\"pods\",\"name\":\"a\",\"uid\":\"u\"}]", ""},
          {"", R"(status.reservedFor = [{"resource":"pods","name":"a","uid":"u"}])",
           "status.reservedFor: Forbidden: may not be specified when `allocated` is not set"},
          {"",
           R"(status.allocation = {"devices":{"results":[{"request":"x","driver":"d.io","pool":"p",)"
           R"("device":"D"}]}})",
           "[status.allocation.devices.results[0].request: Invalid value: \"x\": must be the name of a request in the "
           "claim or the name of a request and a subrequest separated by '/', "
           "status.allocation.devices.results[0].device: Invalid value: \"D\": " +
               kLabel + "]"},
          {allocation, R"(status.devices = [{"driver":"d.io","pool":"p","device":"dev"}])", ""},
          {allocation, R"(status.devices = [{"driver":"d.io","pool":"p","device":"other"}])",
           "status.devices[0]: Invalid value: \"d.io/p/other\": must be an allocated device in the claim"},
      });
  const char* claim_template = R"({"metadata":{"name":"a","namespace":"d"},"spec":{"spec":{"devices":{"requests":[)"
                               R"({"name":"r","exactly":{"deviceClassName":"c","allocationMode":"All"}}]}}}})";
  check_creates(
      devices("resourceclaimtemplates"), claim_template,
      {
          {"", ""},
          {R"(spec.metadata = {"name":"x","labels":{"a":"b"}})", "spec.metadata.name: Forbidden: cannot be set"},
      });
}

TEST_CASE("resource slices") {
  const char* slice =
      R"({"metadata":{"name":"a"},"spec":{"driver":"d.io","nodeName":"n",)"
      R"("pool":{"name":"p","resourceSliceCount":1,"generation":0},)"
      R"("devices":[{"name":"dev","attributes":{"model":{"string":"m"}},"capacity":{"memory":{"value":"1Gi"}}}]}})";
  const std::string device = "spec.devices[0]";
  check_creates(
      devices("resourceslices"), slice,
      {
          {"", ""},
          {R"(spec.devices[0].attributes = {"d.io/v":{"version":"1.2.3-rc.1+b"}})", ""},
          {"spec.nodeName = -\nspec.allNodes = true", ""},
          {"spec.nodeName = -",
           "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is "
           "required"},
          {"spec.allNodes = false", "spec.allNodes: Invalid value: false: must be either unset or set to true"},
          {"spec.allNodes = true",
           "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, `allNodes`, "
           "`perDeviceNodeSelection` is required, but multiple fields are set"},
          {R"(spec.pool = {"name":"P","resourceSliceCount":0,"generation":-1})",
           "[spec.pool.name: Invalid value: \"P\": " + kSubdomain +
               ", spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero, spec.pool.generation: "
               "Invalid "
               "value: -1: must be greater than or equal to zero]"},
          {R"(spec.devices[0].attributes = {"a":{"version":"01.2.3"},"b":{}})",
           "[" + device +
               ".attributes[a].version: Invalid value: \"01.2.3\": must be a string compatible with semver.org "
               "spec 2.0.0, " +
               device + ".attributes[b]: Invalid value: \"\": exactly one value must be specified]"},
          {R"(spec.devices[0].capacity = {"m":{"value":"1","requestPolicy":{"default":"1"}}})",
           device + ".capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true"},
          {R"(spec.devices[0] = {"name":"dev","allowMultipleAllocations":true,"capacity":{"m":{"value":"8",)"
           R"("requestPolicy":{"default":"3","validRange":{"min":"2","max":"9","step":"2"}}}}})",
           "[" + device +
               ".capacity[m].requestPolicy.validRange.max: Invalid value: \"9\": max is larger than capacity "
               "value: 8, " +
               device +
               ".capacity[m].requestPolicy.validRange.step: Invalid value: \"3\": value is not a multiple of a "
               "given step (2) from (2), " +
               device +
               ".capacity[m].requestPolicy.validRange.step: Invalid value: \"9\": value is not a multiple of a "
               "given step (2) from (2)]"},
          {R"(spec.devices[0].taints = [{"key":"k"},{"key":"k","effect":"Other"}])",
           "[" + device + ".taints[0].effect: Required value, " + device +
               ".taints[1].effect: Unsupported value: \"Other\": supported values: \"NoExecute\", \"NoSchedule\", "
               "\"None\"]"},
          {R"(spec.devices[0].bindingConditions = ["a"])",
           device + ".bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use "
                    "bindingConditions"},
          {R"(spec.devices[1] = {"name":"dev"})", "spec.devices[1]: Duplicate value: \"dev\""},
      });
  check_updates(devices("resourceslices"), "", slice,
                {
                    {"", "spec.pool.generation = 1", ""},
                    {"", R"(spec.driver = "e.io")", "spec.driver: Invalid value: \"e.io\"" + kImmutable},
                    {"", R"(spec.nodeName = "m")", "spec.nodeName: Invalid value: \"m\"" + kImmutable},
                });
}

namespace {
Task<Result<void>> what_the_server_makes(test::ApiFixture& fixture) {
  std::size_t checked = 0;
  for (const Kind& kind : all_kinds()) {
    if (kind.storage_prefix.empty() || kind.api_version() != kind.storage_version) continue;
    auto listed = co_await fixture.call(fixture.request(Verb::kList, kind));
    if (!listed) co_return listed.error();
    for (const ObjectRef& object : listed->list->items) {
      CAPTURE(kind.group_resource(), object->name());
      const json::Document document = object->document();
      std::vector<std::string> warnings;
      CHECK(field::aggregate(validation::validate_create(kind, *document, warnings)) == "[]");
      CHECK(field::aggregate(validation::validate_update(kind, "", *document, *document, warnings)) == "[]");
      ++checked;
    }
  }
  CHECK(checked > 40);  // API services, flow control, priority classes, namespaces, leases and more
  co_return Result<void>();
}
}  // namespace

TEST_CASE("what the server makes keeps the rules") {
  ApiServerOptions options;
  options.advertise_address = "192.0.2.1";
  test::ApiFixture fixture(options);
  const Result<void> done = fixture.run(what_the_server_makes);
  if (!done) FAIL(done.error().message());
}
