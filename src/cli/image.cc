// image.cc: `kayak image pull|import|ls|rm` on the agent's store; works beside a running server.
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "agent/images/images.h"
#include "base/files.h"
#include "base/strings.h"
#include "cli/print.h"
#include "cli/process.h"
#include "cli/server.h"

namespace kayak::cli {

namespace {

void print_images(const std::vector<agent::ImageRef>& images) {
  struct Line {
    std::string name, id, size;
  };
  std::vector<Line> lines = {{"IMAGE", "IMAGE ID", "SIZE"}};
  for (const agent::ImageRef& image : images) {
    std::vector<std::string> names = image->names.empty() ? image->digests : image->names;
    if (names.empty()) names = {"<none>"};
    for (const std::string& name : names) lines.push_back({name, image->id.substr(7, 12), size_text(image->size)});
  }
  std::size_t width = 0;
  for (const Line& line : lines) width = std::max(width, line.name.size());
  for (const Line& line : lines)
    std::printf("%-*s  %-12s  %s\n", static_cast<int>(width), line.name.c_str(), line.id.c_str(), line.size.c_str());
}

// One line that is rewritten while bytes come in; nothing when nobody watches.
std::function<void(std::uint64_t, std::uint64_t)> progress_line(const std::string& name) {
  if (::isatty(2) == 0) return nullptr;
  return [name](std::uint64_t done, std::uint64_t total) {
    std::fprintf(stderr, "\r%s: %s of %s", name.c_str(), size_text(done).c_str(), size_text(total).c_str());
    if (done >= total) std::fputc('\n', stderr);
  };
}

Task<Result<void>> run(agent::ImageStore& store, ImageOptions options) {
  if (options.verb == "ls") {
    print_images(store.list());
    co_return Result<void>();
  }
  for (const std::string& name : options.names) {
    if (options.verb == "import") {
      Result<std::vector<agent::ImageRef>> images = co_await store.import(name);
      if (!images) co_return images.error();
      for (const agent::ImageRef& image : *images) {
        // The same image may have had names before: all of them lead to it now.
        const std::vector<std::string> names = image->names.empty() ? std::vector{image->id} : image->names;
        for (const std::string& shown : names) std::printf("%s\n", shown.c_str());
      }
      continue;
    }
    Result<agent::Reference> reference = agent::Reference::parse(name);
    if (!reference) co_return reference.error();
    if (options.verb == "rm") {
      Result<void> removed = co_await store.remove(*reference);
      if (!removed) co_return removed;
      continue;
    }
    agent::PullOptions pull;
    pull.progress = progress_line(name);
    Result<agent::ImageRef> image = co_await store.pull(*reference, std::move(pull));
    if (!image) co_return image.error();
    std::printf("%s\n", reference->to_string().c_str());
  }
  co_return Result<void>();
}

}  // namespace

int run_image(const ImageOptions& options) {
  return run_tool([&options](const Context& context) -> Result<void> {
    if (!file_exists(options.data_dir + "/agent")) {
      return Error(Code::kNotFound, cat("no node has run on ", options.data_dir,
                                        ": start `kayak server` first, or name its --data-dir"));
    }
    agent::ImageStoreOptions store_options;
    store_options.folder = options.data_dir + "/agent/image-store";
    store_options.registries = options.private_registry;
    Result<std::unique_ptr<agent::ImageStore>> store = agent::ImageStore::open(context, store_options);
    if (!store) return store.error();
    return context.loop.run(run(**store, options));
  });
}

}  // namespace kayak::cli
