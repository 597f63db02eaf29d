#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <blip/core/context.hpp>

namespace blip {

/// What one call computes with: an engine and an arena.
template <class B>
struct Workspace {
    typename B::Engine engine;
    Arena<B> arena;
};

/// Workspaces of a model, one for each call that runs at the same time; a model itself is never
/// written to, so any number of threads may call it.
template <class B>
class WorkspacePool {
public:
    explicit WorkspacePool(typename B::Engine engine) : engine_(std::move(engine)) {}

    /// A workspace for the lifetime of the returned loan.
    class Loan {
    public:
        Loan(WorkspacePool& pool, std::unique_ptr<Workspace<B>> workspace)
            : pool_(pool), workspace_(std::move(workspace)), mark_(workspace_->arena.mark()) {}
        Loan(Loan const&) = delete;
        Loan& operator=(Loan const&) = delete;
        ~Loan() {
            workspace_->arena.release(mark_);
            std::lock_guard const lock(pool_.mutex_);
            pool_.free_.push_back(std::move(workspace_));
        }

        Context<B> context(Keep keep) {
            return {.engine = workspace_->engine, .arena = workspace_->arena, .keep = keep};
        }

    private:
        WorkspacePool& pool_;
        std::unique_ptr<Workspace<B>> workspace_;
        typename Arena<B>::Mark mark_;
    };

    Loan borrow() {
        {
            std::lock_guard const lock(mutex_);
            if (!free_.empty()) {
                auto workspace = std::move(free_.back());
                free_.pop_back();
                return {*this, std::move(workspace)};
            }
        }
        return {*this, std::make_unique<Workspace<B>>(Workspace<B>{engine_, Arena<B>{}})};
    }

private:
    typename B::Engine engine_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Workspace<B>>> free_;
};

} // namespace blip
