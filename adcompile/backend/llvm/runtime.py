"""The memory runtime of compiled kernels, in LLVM IR: a frame of live heap buffers per call.

A frame is ``{height, capacity, list, spare count, 8 spare buffers, 16 list entries}``, an entry ``{pointer, bytes}``.
``alloc`` takes a spare buffer of exactly the size, else new memory (64-byte aligned from 512 bytes on; ``free`` takes
both, and so does NumPy). ``sweep`` retires what was allocated above a mark and is not kept: it becomes spare, so that
an iteration reuses the buffers of the one before. ``finish`` frees all that is not kept.

It is a module of its own, loaded once per process: kernels call it by address, opaque to the optimiser.
"""

from __future__ import annotations

FUNCTIONS = ("adcompile_open", "adcompile_alloc", "adcompile_sweep", "adcompile_finish")
FRAME_BYTES = 32 + 16 * (8 + 16)

TEXT = """\
%entry = type { ptr, i64 }
%frame = type { i64, i64, ptr, i64, [8 x %entry], [16 x %entry] }
declare ptr @malloc(i64)
declare ptr @aligned_alloc(i64, i64)
declare void @free(ptr)
declare i64 @llvm.umul.fix.sat.i64(i64, i64, i32)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

define void @adcompile_open(ptr %f) {
  %local = getelementptr %frame, ptr %f, i64 0, i32 5
  %list = getelementptr %frame, ptr %f, i64 0, i32 2
  %capacity = getelementptr %frame, ptr %f, i64 0, i32 1
  %spares = getelementptr %frame, ptr %f, i64 0, i32 3
  store i64 0, ptr %f
  store i64 16, ptr %capacity
  store ptr %local, ptr %list
  store i64 0, ptr %spares
  ret void
}

define ptr @adcompile_alloc(ptr %f, i64 %unit, i64 %rows, i64 %columns) {
entry:
  %count = call i64 @llvm.umul.fix.sat.i64(i64 %rows, i64 %columns, i32 0)
  %bytes = call i64 @llvm.umul.fix.sat.i64(i64 %count, i64 %unit, i32 0)
  %overflows = icmp ugt i64 %bytes, 1152921504606846976
  br i1 %overflows, label %out, label %begin
begin:
  %spares = getelementptr %frame, ptr %f, i64 0, i32 3
  %spare.count = load i64, ptr %spares
  br label %search
search:
  %i = phi i64 [ %spare.count, %begin ], [ %last, %look ]
  %none = icmp eq i64 %i, 0
  br i1 %none, label %fresh, label %look
look:
  %last = sub i64 %i, 1
  %spare = getelementptr %frame, ptr %f, i64 0, i32 4, i64 %last
  %spare.size = getelementptr %entry, ptr %spare, i64 0, i32 1
  %size = load i64, ptr %spare.size
  %fits = icmp eq i64 %size, %bytes
  br i1 %fits, label %reuse, label %search
reuse:
  %reused = load ptr, ptr %spare
  %fewer = sub i64 %spare.count, 1
  %final = getelementptr %frame, ptr %f, i64 0, i32 4, i64 %fewer
  %moved = load %entry, ptr %final
  store %entry %moved, ptr %spare
  store i64 %fewer, ptr %spares
  br label %record
fresh:
  %small = icmp ult i64 %bytes, 512
  br i1 %small, label %plain, label %aligned
plain:
  %least = call i64 @llvm.umax.i64(i64 %bytes, i64 1)
  %p.plain = call ptr @malloc(i64 %least)
  br label %made
aligned:
  %above = add i64 %bytes, 63
  %rounded = and i64 %above, -64
  %p.aligned = call ptr @aligned_alloc(i64 64, i64 %rounded)
  br label %made
made:
  %new = phi ptr [ %p.plain, %plain ], [ %p.aligned, %aligned ]
  %failed = icmp eq ptr %new, null
  br i1 %failed, label %out, label %record
record:
  %p = phi ptr [ %reused, %reuse ], [ %new, %made ]
  %height = load i64, ptr %f
  %capacity.at = getelementptr %frame, ptr %f, i64 0, i32 1
  %capacity = load i64, ptr %capacity.at
  %list.at = getelementptr %frame, ptr %f, i64 0, i32 2
  %list = load ptr, ptr %list.at
  %full = icmp eq i64 %height, %capacity
  br i1 %full, label %grow, label %push
grow:
  %doubled = shl i64 %capacity, 1
  %room = shl i64 %doubled, 4
  %larger = call ptr @malloc(i64 %room)
  %stuck = icmp eq ptr %larger, null
  br i1 %stuck, label %undo, label %transfer
undo:
  call void @free(ptr %p)
  br label %out
transfer:
  %used = shl i64 %capacity, 4
  call void @llvm.memcpy.p0.p0.i64(ptr %larger, ptr %list, i64 %used, i1 false)
  store ptr %larger, ptr %list.at
  store i64 %doubled, ptr %capacity.at
  call void @release_list(ptr %f, ptr %list)
  br label %push
push:
  %here = phi ptr [ %list, %record ], [ %larger, %transfer ]
  %top = getelementptr %entry, ptr %here, i64 %height
  %top.size = getelementptr %entry, ptr %top, i64 0, i32 1
  store ptr %p, ptr %top
  store i64 %bytes, ptr %top.size
  %higher = add i64 %height, 1
  store i64 %higher, ptr %f
  ret ptr %p
out:
  ret ptr null
}

define internal void @release_list(ptr %f, ptr %list) {
  %local = getelementptr %frame, ptr %f, i64 0, i32 5
  %own = icmp eq ptr %list, %local
  br i1 %own, label %done, label %heap
heap:
  call void @free(ptr %list)
  br label %done
done:
  ret void
}

define internal i1 @is_kept(ptr %p, i64 %count, ptr %kept) {
entry:
  br label %test
test:
  %i = phi i64 [ 0, %entry ], [ %next, %look ]
  %end = icmp eq i64 %i, %count
  br i1 %end, label %no, label %look
look:
  %at = getelementptr ptr, ptr %kept, i64 %i
  %q = load ptr, ptr %at
  %same = icmp eq ptr %p, %q
  %next = add i64 %i, 1
  br i1 %same, label %yes, label %test
yes:
  ret i1 true
no:
  ret i1 false
}

define internal void @retire(ptr %f, %entry %e) {
entry:
  %spares = getelementptr %frame, ptr %f, i64 0, i32 3
  %count = load i64, ptr %spares
  %full = icmp eq i64 %count, 8
  br i1 %full, label %evict, label %add
evict:
  %first = getelementptr %frame, ptr %f, i64 0, i32 4
  %oldest = load ptr, ptr %first
  call void @free(ptr %oldest)
  %second = getelementptr %entry, ptr %first, i64 1
  call void @llvm.memmove.p0.p0.i64(ptr %first, ptr %second, i64 112, i1 false)
  br label %add
add:
  %place = phi i64 [ %count, %entry ], [ 7, %evict ]
  %at = getelementptr %frame, ptr %f, i64 0, i32 4, i64 %place
  store %entry %e, ptr %at
  %more = add i64 %place, 1
  store i64 %more, ptr %spares
  ret void
}
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
declare i64 @llvm.umax.i64(i64, i64)

define void @adcompile_sweep(ptr %f, i64 %mark, i64 %count, ptr %kept) {
entry:
  %height = load i64, ptr %f
  %list.at = getelementptr %frame, ptr %f, i64 0, i32 2
  %list = load ptr, ptr %list.at
  br label %test
test:
  %i = phi i64 [ %mark, %entry ], [ %next, %step ]
  %w = phi i64 [ %mark, %entry ], [ %w.next, %step ]
  %end = icmp eq i64 %i, %height
  br i1 %end, label %done, label %look
look:
  %at = getelementptr %entry, ptr %list, i64 %i
  %e = load %entry, ptr %at
  %p = extractvalue %entry %e, 0
  %keep = call i1 @is_kept(ptr %p, i64 %count, ptr %kept)
  br i1 %keep, label %stay, label %go
stay:
  %to = getelementptr %entry, ptr %list, i64 %w
  store %entry %e, ptr %to
  %w.more = add i64 %w, 1
  br label %step
go:
  call void @retire(ptr %f, %entry %e)
  br label %step
step:
  %w.next = phi i64 [ %w.more, %stay ], [ %w, %go ]
  %next = add i64 %i, 1
  br label %test
done:
  store i64 %w, ptr %f
  ret void
}

define void @adcompile_finish(ptr %f, i64 %count, ptr %kept) {
entry:
  call void @adcompile_sweep(ptr %f, i64 0, i64 %count, ptr %kept)
  %spares = getelementptr %frame, ptr %f, i64 0, i32 3
  %n = load i64, ptr %spares
  br label %test
test:
  %i = phi i64 [ 0, %entry ], [ %next, %look ]
  %end = icmp eq i64 %i, %n
  br i1 %end, label %done, label %look
look:
  %at = getelementptr %frame, ptr %f, i64 0, i32 4, i64 %i
  %p = load ptr, ptr %at
  call void @free(ptr %p)
  %next = add i64 %i, 1
  br label %test
done:
  %list.at = getelementptr %frame, ptr %f, i64 0, i32 2
  %list = load ptr, ptr %list.at
  call void @release_list(ptr %f, ptr %list)
  ret void
}
"""
