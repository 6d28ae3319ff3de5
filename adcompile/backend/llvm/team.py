"""The threads of compiled programs: a team that waits for parallel loops, in LLVM IR, one per process.

``team_run(body, task, chunks, get, set)`` calls ``body(task, chunk, chunks)`` for every chunk and returns when all are
done. One word, the *ticket*, says which chunk is next: ``generation << 24 | chunks << 12 | next``. The caller and the
workers draw chunks from it until there are none, so that a worker which sleeps or is late costs nothing: the caller
does its share. Which thread does a chunk is left to chance; what a chunk is, is not.

Workers look at the ticket for some ten microseconds after their last chunk, as long as solvers take between two loops,
and sleep then. A caller wakes them, but not again before one has looked: on a machine with other work that may take as
long as many loops. A caller that finds the team busy with another caller's loop does all its chunks itself, in order.

Around a loop with matrix products ``get`` and ``set`` are OpenBLAS's number of threads: products inside take one.

``team_stop`` waits for the current loop, ends the workers and keeps the team; ``team_free`` gives it back, and in a
child of the process so does ``team_child``, where no other thread holds BLAS any more. So a process forks without
workers; both sides start their own when they next need them. ``team_close`` ends them for good, before the interpreter
takes the code away that they run.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import platform
from collections.abc import Mapping
from typing import Any

from adcompile.backend.llvm import engine
from adcompile.threads import MOST

FUNCTIONS = ("team_run", "team_stop", "team_free", "team_child", "team_close")
SPINS = 2000
"""How often a thread looks before it sleeps (a worker) or lets others run (a caller): some ten microseconds."""
STACK = 8 * 2**20
_X86, _ARM = ("@llvm.x86.sse2.pause", ""), ("@llvm.aarch64.isb", "i32 15")
_PAUSES = {"x86_64": _X86, "AMD64": _X86, "aarch64": _ARM, "arm64": _ARM}
"""An instruction of each processor that waits for a moment and leaves the core to its other thread."""


def text() -> str:
    """The module of the team for this processor."""
    name, operand = _PAUSES.get(platform.machine(), ("", ""))
    declared = f"declare void {name}({operand.split(' ')[0]})\n" if name else ""
    words = {"wait": f"call void {name}({operand})" * bool(name), "spins": SPINS, "most": MOST, "stack": STACK}
    return declared + functools.reduce(lambda text, word: text.replace(f"{{{word}}}", str(words[word])), words, _TEXT)


@functools.cache
def addresses(cache: bool) -> Mapping[str, int]:
    """The addresses of the team's functions; loaded once, and then prepared for forks and the exit of the process."""
    tracker = engine.load(engine.object_code(text(), engine.PLAIN, cache=cache), FUNCTIONS)
    found = {name: tracker[name] for name in FUNCTIONS}
    stop, free, child, close = (ctypes.CFUNCTYPE(None)(found[name]) for name in FUNCTIONS[1:])
    os.register_at_fork(before=stop, after_in_parent=free, after_in_child=child)
    atexit.register(close)
    _KEPT.append(tracker)
    return found


_KEPT: list[Any] = []
"""Libraries that live as long as the process."""

_TEXT = """\
@ticket = internal global i64 0, align 128
@done = internal global i64 0, align 128
@sleeping = internal global i64 0, align 128
@waking = internal global i64 0, align 128
@body = internal global ptr null, align 128
@task = internal global ptr null, align 8
@lock = internal global i64 0, align 128
@leaving = internal global i64 0, align 8
@started = internal global i64 0, align 8
@ready = internal global i64 0, align 8
@closed = internal global i64 0, align 8
@workers = internal global [{most} x i64] zeroinitializer, align 8
@mutex = internal global [128 x i8] zeroinitializer, align 128
@news = internal global [128 x i8] zeroinitializer, align 128
@blas.lock = internal global i64 0, align 128
@blas.users = internal global i64 0, align 8
@blas.threads = internal global i32 0, align 8
@blas.set = internal global ptr null, align 8
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_join(i64, ptr)
declare i32 @pthread_attr_init(ptr)
declare i32 @pthread_attr_setstacksize(ptr, i64)
declare i32 @pthread_attr_destroy(ptr)
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare i32 @sched_yield()

define internal i1 @is_open(i64 %ticket) alwaysinline {
  %next = and i64 %ticket, 4095
  %shifted = lshr i64 %ticket, 12
  %chunks = and i64 %shifted, 4095
  %open = icmp ult i64 %next, %chunks
  ret i1 %open
}

define internal void @draw(i64 %ticket) {
  %following = add i64 %ticket, 1
  %pair = cmpxchg ptr @ticket, i64 %ticket, i64 %following acq_rel acquire
  %won = extractvalue { i64, i1 } %pair, 1
  br i1 %won, label %work, label %over
work:
  %chunk = and i64 %ticket, 4095
  %shifted = lshr i64 %ticket, 12
  %chunks = and i64 %shifted, 4095
  %body = load ptr, ptr @body
  %task = load ptr, ptr @task
  call void %body(ptr %task, i64 %chunk, i64 %chunks)
  %before = atomicrmw add ptr @done, i64 1 release
  br label %over
over:
  ret void
}

define internal void @acquire(ptr %lock) {
entry:
  br label %try
try:
  %pair = cmpxchg ptr %lock, i64 0, i64 1 acquire monotonic
  %won = extractvalue { i64, i1 } %pair, 1
  br i1 %won, label %held, label %wait
wait:
  %ignored = call i32 @sched_yield()
  br label %try
held:
  ret void
}

define internal ptr @worker(ptr %unused) {
entry:
  br label %rested
rested:
  br label %look
look:
  %spins = phi i64 [ 0, %rested ], [ %more, %pause ]
  %ticket = load atomic i64, ptr @ticket acquire, align 8
  %open = call i1 @is_open(i64 %ticket)
  br i1 %open, label %work, label %idle
work:
  call void @draw(i64 %ticket)
  br label %rested
idle:
  %leaving = load atomic i64, ptr @leaving acquire, align 8
  %stays = icmp eq i64 %leaving, 0
  br i1 %stays, label %wait, label %leave
wait:
  %more = add i64 %spins, 1
  %tired = icmp eq i64 %more, {spins}
  br i1 %tired, label %sleep, label %pause
pause:
  {wait}
  br label %look
sleep:
  call void @sleep()
  br label %rested
leave:
  ret ptr null
}

define internal void @sleep() {
  %r1 = call i32 @pthread_mutex_lock(ptr @mutex)
  %before = atomicrmw add ptr @sleeping, i64 1 seq_cst
  br label %look
look:
  store atomic i64 0, ptr @waking seq_cst, align 8
  %ticket = load atomic i64, ptr @ticket seq_cst, align 8
  %open = call i1 @is_open(i64 %ticket)
  %leaving = load atomic i64, ptr @leaving seq_cst, align 8
  %ends = icmp ne i64 %leaving, 0
  %awake = or i1 %open, %ends
  br i1 %awake, label %up, label %down
down:
  %r2 = call i32 @pthread_cond_wait(ptr @news, ptr @mutex)
  br label %look
up:
  %after = atomicrmw sub ptr @sleeping, i64 1 seq_cst
  %r3 = call i32 @pthread_mutex_unlock(ptr @mutex)
  ret void
}

define internal void @wake() {
  %sleeping = load atomic i64, ptr @sleeping seq_cst, align 8
  %none = icmp eq i64 %sleeping, 0
  br i1 %none, label %over, label %ask
ask:
  %before = atomicrmw xchg ptr @waking, i64 1 seq_cst
  %called = icmp ne i64 %before, 0
  br i1 %called, label %over, label %call
call:
  %r1 = call i32 @pthread_mutex_lock(ptr @mutex)
  %r2 = call i32 @pthread_cond_broadcast(ptr @news)
  %r3 = call i32 @pthread_mutex_unlock(ptr @mutex)
  br label %over
over:
  ret void
}

define internal void @staff(i64 %wanted) noinline {
entry:
  %attributes = alloca [128 x i8], align 16
  %ready = load i64, ptr @ready
  %first = icmp eq i64 %ready, 0
  br i1 %first, label %prepare, label %count
prepare:
  %r1 = call i32 @pthread_mutex_init(ptr @mutex, ptr null)
  %r2 = call i32 @pthread_cond_init(ptr @news, ptr null)
  store i64 1, ptr @ready
  br label %count
count:
  %started = load i64, ptr @started
  %closed = load i64, ptr @closed
  %gone = icmp ne i64 %closed, 0
  %limit = select i1 %gone, i64 0, i64 %wanted
  %short = icmp ult i64 %started, %limit
  br i1 %short, label %start, label %over
start:
  %place = getelementptr i64, ptr @workers, i64 %started
  %r3 = call i32 @pthread_attr_init(ptr %attributes)
  %r4 = call i32 @pthread_attr_setstacksize(ptr %attributes, i64 {stack})
  %refused = call i32 @pthread_create(ptr %place, ptr %attributes, ptr @worker, ptr null)
  %r5 = call i32 @pthread_attr_destroy(ptr %attributes)
  %fine = icmp eq i32 %refused, 0
  br i1 %fine, label %next, label %over
next:
  %more = add i64 %started, 1
  store i64 %more, ptr @started
  br label %count
over:
  ret void
}

define internal void @alone(ptr %get, ptr %set) {
  %none = icmp eq ptr %get, null
  br i1 %none, label %over, label %count
count:
  call void @acquire(ptr @blas.lock)
  %users = load i64, ptr @blas.users
  %more = add i64 %users, 1
  store i64 %more, ptr @blas.users
  %first = icmp eq i64 %users, 0
  br i1 %first, label %limit, label %unlock
limit:
  %threads = call i32 %get()
  store i32 %threads, ptr @blas.threads
  store ptr %set, ptr @blas.set
  call void %set(i32 1)
  br label %unlock
unlock:
  store atomic i64 0, ptr @blas.lock release, align 8
  br label %over
over:
  ret void
}

define internal void @together(ptr %get, ptr %set) {
  %none = icmp eq ptr %get, null
  br i1 %none, label %over, label %count
count:
  call void @acquire(ptr @blas.lock)
  %users = load i64, ptr @blas.users
  %fewer = sub i64 %users, 1
  store i64 %fewer, ptr @blas.users
  %last = icmp eq i64 %fewer, 0
  br i1 %last, label %restore, label %unlock
restore:
  %threads = load i32, ptr @blas.threads
  call void %set(i32 %threads)
  br label %unlock
unlock:
  store atomic i64 0, ptr @blas.lock release, align 8
  br label %over
over:
  ret void
}

define internal void @serial(ptr %body, ptr %task, i64 %chunks) {
entry:
  br label %next
next:
  %chunk = phi i64 [ 0, %entry ], [ %following, %next ]
  call void %body(ptr %task, i64 %chunk, i64 %chunks)
  %following = add i64 %chunk, 1
  %more = icmp ult i64 %following, %chunks
  br i1 %more, label %next, label %over
over:
  ret void
}

define internal void @shared(ptr %body, ptr %task, i64 %chunks) {
entry:
  %others = sub i64 %chunks, 1
  %started = load i64, ptr @started
  %short = icmp ult i64 %started, %others
  br i1 %short, label %grow, label %open
grow:
  call void @staff(i64 %others)
  br label %open
open:
  store ptr %body, ptr @body
  store ptr %task, ptr @task
  store atomic i64 0, ptr @done monotonic, align 8
  %old = load atomic i64, ptr @ticket monotonic, align 8
  %generation = lshr i64 %old, 24
  %new = add i64 %generation, 1
  %high = shl i64 %new, 24
  %middle = shl i64 %chunks, 12
  %low = or i64 %middle, 1
  %fresh = or i64 %high, %low
  store atomic i64 %fresh, ptr @ticket seq_cst, align 8
  call void @wake()
  call void %body(ptr %task, i64 0, i64 %chunks)
  br label %look
look:
  %ticket = load atomic i64, ptr @ticket acquire, align 8
  %left = call i1 @is_open(i64 %ticket)
  br i1 %left, label %work, label %wait
work:
  call void @draw(i64 %ticket)
  br label %look
wait:
  %spins = phi i64 [ 0, %look ], [ %more, %pause ], [ 0, %yield ]
  %done = load atomic i64, ptr @done acquire, align 8
  %all = icmp eq i64 %done, %others
  br i1 %all, label %over, label %again
again:
  %more = add i64 %spins, 1
  %tired = icmp eq i64 %more, {spins}
  br i1 %tired, label %yield, label %pause
pause:
  {wait}
  br label %wait
yield:
  %ignored = call i32 @sched_yield()
  br label %wait
over:
  ret void
}

define void @team_run(ptr %body, ptr %task, i64 %chunks, ptr %get, ptr %set) {
  %single = icmp eq i64 %chunks, 1
  br i1 %single, label %one, label %several
one:
  call void %body(ptr %task, i64 0, i64 1)
  ret void
several:
  call void @alone(ptr %get, ptr %set)
  %pair = cmpxchg ptr @lock, i64 0, i64 1 acquire monotonic
  %won = extractvalue { i64, i1 } %pair, 1
  br i1 %won, label %team, label %busy
team:
  call void @shared(ptr %body, ptr %task, i64 %chunks)
  store atomic i64 0, ptr @lock release, align 8
  br label %over
busy:
  call void @serial(ptr %body, ptr %task, i64 %chunks)
  br label %over
over:
  call void @together(ptr %get, ptr %set)
  ret void
}

define void @team_stop() {
entry:
  call void @acquire(ptr @lock)
  call void @acquire(ptr @blas.lock)
  %started = load i64, ptr @started
  %none = icmp eq i64 %started, 0
  br i1 %none, label %over, label %call
call:
  store atomic i64 1, ptr @leaving seq_cst, align 8
  store atomic i64 0, ptr @waking seq_cst, align 8
  call void @wake()
  br label %next
next:
  %k = phi i64 [ 0, %call ], [ %following, %next ]
  %place = getelementptr i64, ptr @workers, i64 %k
  %worker = load i64, ptr %place
  %ignored = call i32 @pthread_join(i64 %worker, ptr null)
  %following = add i64 %k, 1
  %more = icmp ult i64 %following, %started
  br i1 %more, label %next, label %gone
gone:
  store i64 0, ptr @started
  store atomic i64 0, ptr @leaving seq_cst, align 8
  br label %over
over:
  ret void
}

define void @team_free() {
  store atomic i64 0, ptr @blas.lock release, align 8
  store atomic i64 0, ptr @lock release, align 8
  ret void
}

define void @team_child() {
  %users = load i64, ptr @blas.users
  %none = icmp eq i64 %users, 0
  br i1 %none, label %over, label %restore
restore:
  %set = load ptr, ptr @blas.set
  %threads = load i32, ptr @blas.threads
  call void %set(i32 %threads)
  store i64 0, ptr @blas.users
  br label %over
over:
  call void @team_free()
  ret void
}

define void @team_close() {
  call void @team_stop()
  store i64 1, ptr @closed
  call void @team_free()
  ret void
}
"""
