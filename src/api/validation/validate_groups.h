// validate_groups.h: the rows of each API group that is too long for the file of its neighbours, and the rules that two
// groups share.
#pragma once

#include <string>
#include <vector>

#include "api/validation/checked.h"
#include "api/validation/validation.h"

namespace kayak::api::validation {

void append_rows(std::vector<Row>& rows, const std::vector<Row>& more);

// ---- of workload_rows()
std::vector<Row> apps_rows();              // validate_apps.cc
std::vector<Row> batch_rows();             // validate_jobs.cc, validate_cronjobs.cc, validate_job_status.cc
std::vector<Row> autoscaling_rows();       // validate_autoscaling.cc
void check_job_spec(const Checked& spec);  // of a Job or of a CronJob's template: without its selector
void create_cron_job(const json::Value& object, field::ErrorList& errors);
void update_cron_job(const json::Value& object, const json::Value& old, field::ErrorList& errors);
void update_job_status(const json::Value& object, const json::Value& old, field::ErrorList& errors);
// Indexes as a Job's status lists them, "1,3-5,7": their number, or what is wrong with the text.
struct JobIndexes {
  std::int64_t count = 0;
  std::string error;  // empty: well formed
};
JobIndexes read_job_indexes(std::string_view text, std::int64_t completions);
// "failedIndexes and completedIndexes overlap at index: 3"; empty when they do not.
std::string job_indexes_overlap(std::string_view completed, std::string_view failed, std::int64_t completions);

// ---- of cluster_rows()
std::vector<Row> networking_rows();  // validate_networking.cc
std::vector<Row> storage_rows();     // validate_storage.cc

// ---- of access_rows()
std::vector<Row> certificate_rows();   // validate_certificates.cc
std::vector<Row> webhook_rows();       // validate_webhooks.cc
std::vector<Row> policy_rows();        // validate_policies.cc
std::vector<Row> custom_rows();        // validate_custom.cc: apiextensions, apiregistration
std::vector<Row> flow_control_rows();  // validate_flowcontrol.cc
std::vector<Row> device_rows();        // validate_devices.cc
// A rule of a webhook or a policy: operations, groups, versions, resources and scope. validate_webhooks.cc, as are:
void check_admission_rule(const Checked& rule);
void check_match_conditions(const Checked& conditions);
// A webhook's clientConfig: a URL or a service.
void check_webhook_client(const Checked& config);
// Versions of the review that a webhook reads; `known` when one of ours must be among them; `missing` is said when
// there are none.
void check_review_versions(const Checked& versions, bool known, std::string_view missing);
// What is wrong with a version's openAPIV3Schema; `schema` is its holder, "schema". validate_crd_schema.cc.
void check_custom_schema(const Checked& schema, bool has_status);

}  // namespace kayak::api::validation
