"""Commands of the place Jobs."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command


class CancelJob(Command):
    id, key, label, action = "job.cancel", "x", "cancel", "cancel_job"
    group, footer = "Jobs", True
    help = "Stop the job at its next checkpoint; everything written until then is kept."
    writes_elsewhere = True


class RetryJob(Command):
    id, key, label, action = "job.retry", "R", "retry", "retry_job"
    group, footer = "Jobs", True
    help = "Continue a job from its last checkpoint, or queue delegated agent work again."
    writes_elsewhere = True


class FailJob(Command):
    id, key, label, action = "job.fail", "F", "fail", "fail_job"
    group, footer = "Jobs", True
    help = "Mark an abandoned job or delegated task as failed, with a reason."
    writes_elsewhere = True


class VerifyCopy(Command):
    id, key, label, action = "job.verify", "v", "compare", "verify_copy"
    group, footer = "Jobs", True
    help = "Compare every row of this job's two stores, or of this store and another one."
    words = "verify check"
    writes_elsewhere = True


class CopyJobId(Command):
    id, key, label, action = "job.copy_id", "y", "copy id", "copy_job_id"
    group = "Jobs"
    help = "Copy the job's full id to the clipboard."


class OpenJobStore(Command):
    id, key, label, action = "job.open_store", "o", "open store", "open_job_store"
    group, footer = "Jobs", True
    help = "Open the store that the job writes to; for a copy job, that is the copy."
    words = "target copy"


class LeaveJob(Command):
    id, key, label, action = "job.leave", "escape", "back", "screen.back"
    group, footer, display = "Jobs", True, "esc"
    help = "Go back from the findings to the job, and from the job to the list."


class StartCopy(Command):
    id, key, label, action = "store.copy", "c", "copy store", "start_copy"
    group, footer = "Store", True
    help = "Copy a store into another one, as a job; first shows the contents."
    words = "migrate backup duplicate"
    writes_elsewhere = True


class Reembed(Command):
    id, key, label, action = "store.reembed", "r", "re-embed", "reembed"
    group, footer = "Store", True
    help = "Re-embed this store with another model, as a job; first shows the cost."
    words = "model vectors"
    writes = True
