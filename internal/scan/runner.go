package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Limits bound what containers may make a scan do. A zero is the default.
type Limits struct {
	Depth    int   // containers within containers: 8
	Entries  int   // entries of one file, those within others included: 100,000
	Unpacked int64 // bytes read of a file's entries, beside Ratio times its size: 1 GiB
	Ratio    int64 // 20
	Memory   int64 // bytes unpacked into memory, of all files together: 64 MiB
}

func (l Limits) depth() int   { return cmp.Or(l.Depth, 8) }
func (l Limits) entries() int { return cmp.Or(l.Entries, 100_000) }
func (l Limits) unpacked(size int64) int64 {
	return cmp.Or(l.Unpacked, 1<<30) + cmp.Or(l.Ratio, 20)*size
}
func (l Limits) memory() int64 { return cmp.Or(l.Memory, 64<<20) }

// maxWorkers bounds the memory of all workers together, of which each may need that of one scanner.
const maxWorkers = 4

// Runner scans files with all scanners that match.
type Runner struct {
	Scanners []Scanner
	Limits   Limits
	Workers  int                                // files at a time; 0 is the number of processors, and at most 4 are used
	Progress func(done, total int, path string) // after each file; never called twice at a time; may be nil

	loading sync.Mutex // held by the one file whose entries are unpacked into memory
}

// budget counts down.
type budget struct{ atomic.Int64 }

// Content scans content that is not a file on disk. The error is that of the context.
func (r *Runner) Content(ctx context.Context, path string, content io.ReaderAt, size int64) (Result, error) {
	w := &work{runner: r, memory: r.Limits.memory()}
	w.unpacked.Store(r.Limits.unpacked(size))
	defer w.release()
	f := &File{Path: path, size: size, at: content, work: w}
	status, format, err := w.file(ctx, f)
	if err != nil && ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	if w.more > 0 {
		w.findings = append(w.findings, Finding{Rule: "more-findings", Severity: Unknown, Place: f.Place(0, ""),
			Message: fmt.Sprintf("There are %d more findings, none worse than those told.", w.more), Remedy: "Remove what is told, and scan again."})
	}
	slices.SortStableFunc(w.findings, byPlace)
	return Result{Path: path, Format: format, Status: status, Findings: slices.Clip(append([]Finding{}, w.findings...)), beside: w.beside}, nil
}

// Paths scans files, and all files in folders, and gives the results in the order of the
// paths, in folders by name. A file that cannot be opened or that leads out of its folder is
// undecided; the error is that a path is not there, or that of the context.
func (r *Runner) Paths(ctx context.Context, paths []string) ([]Result, error) {
	var targets []target
	for _, path := range paths {
		found, err := walk(ctx, path)
		if err != nil {
			return nil, err
		}
		targets = append(targets, found...)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results, errs := make([]Result, len(targets)), make([]error, len(targets))
	var next atomic.Int64
	var wg sync.WaitGroup
	var progress sync.Mutex
	done := 0
	for range min(cmp.Or(r.Workers, runtime.GOMAXPROCS(0)), maxWorkers, len(targets)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(targets) {
					return
				}
				if results[i], errs[i] = r.target(ctx, targets[i]); errs[i] != nil {
					cancel()
					return
				}
				if r.Progress != nil {
					progress.Lock()
					done++
					r.Progress(done, len(targets), targets[i].path)
					progress.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, context.Cause(ctx)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return results, r.hold(ctx, targets, results)
}

func (r *Runner) target(ctx context.Context, t target) (Result, error) {
	if t.problem != nil {
		return t.undecided(t.problem), nil
	}
	f, err := t.open()
	if err != nil {
		return t.undecided(err), nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return t.undecided(err), nil
	}
	return r.Content(ctx, t.path, f, info.Size())
}

// target is a file to be scanned, or what is wrong with it.
type target struct {
	path    string
	open    func() (*os.File, error)
	problem error
}

func (t target) undecided(err error) Result {
	return Result{Path: t.path, Format: "unknown", Status: Undecided, Findings: []Finding{{Rule: "unreadable", Severity: Unknown, Place: Place{File: t.path},
		Message: fmt.Sprintf("It was not read: %v.", err), Remedy: "Make it a regular file that can be read, or leave it out."}}}
}
