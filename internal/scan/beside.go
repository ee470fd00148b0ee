package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// part is what a format takes from another file: the bytes of a tensor, from an offset on,
// as many as a size says or with -1 all that there are.
type part struct {
	model  int    // of which result
	name   string // of the tensor
	offset int64
	size   int64
}

// maxParts is how many parts of other files are kept of one file.
const maxParts = 1 << 20

// Refers says that a file on disk takes some bytes from another beside it, as an ONNX model
// does for its large tensors: those of a name, from an offset on, as many as a size says or
// with -1 all. The path is relative to the file's folder, and within it. Files that are
// scanned together are held to it: raw numbers that a model accounts for are clean. Of
// entries of containers nothing is noted.
func (r *Report) Refers(file, name string, offset, size int64) {
	if r.file.Depth > 0 || !filepath.IsLocal(filepath.FromSlash(file)) {
		return
	}
	w := r.work
	if w.beside == nil {
		w.beside = map[string][]part{}
	}
	if w.parts++; w.parts == maxParts {
		r.Undecided("data-missing", r.file.Place(0, ""), fmt.Sprintf("It takes more than %d parts from other files, and the rest was not looked at.", maxParts), "Save the model with its data in one file.")
	}
	if w.parts < maxParts {
		file = path.Clean(strings.ReplaceAll(file, `\`, "/"))
		w.beside[file] = append(w.beside[file], part{name: name, offset: offset, size: size})
	}
}

// hold compares what files take from others with what these are. A file of raw numbers that
// others account for in full is clean.
func (r *Runner) hold(ctx context.Context, targets []target, results []Result) error {
	byPath := map[string]int{}
	for i := range results {
		byPath[filepath.Clean(results[i].Path)] = i
	}
	taken := map[string][]part{}
	var order []string
	for i := range results {
		for file, parts := range results[i].beside {
			at := filepath.Join(filepath.Dir(results[i].Path), filepath.FromSlash(file))
			if taken[at] == nil {
				order = append(order, at)
			}
			for _, p := range parts {
				p.model = i
				taken[at] = append(taken[at], p)
			}
		}
		results[i].beside = nil
	}
	slices.Sort(order)
	for _, at := range order {
		i, scanned := byPath[at]
		if !scanned {
			i = -1
		}
		if err := holdOne(ctx, targets, results, i, at, taken[at]); err != nil {
			return err
		}
	}
	return nil
}

// holdOne compares one file, of the index given if it was scanned, with what is taken from it.
func holdOne(ctx context.Context, targets []target, results []Result, index int, at string, parts []part) error {
	f, size, err := openBeside(targets, index, at)
	if err != nil {
		told := map[int]bool{}
		for _, p := range parts {
			if !told[p.model] {
				told[p.model] = true
				results[p.model].tell(Finding{Rule: "data-missing", Severity: Unknown, Place: Place{File: results[p.model].Path, Node: p.name},
					Message: fmt.Sprintf("It takes %q and maybe more from %s, which cannot be read: %v.", p.name, filepath.Base(at), err), Remedy: "Scan the model with all of its files."})
			}
		}
		return nil
	}
	defer f.Close()
	var extents []extent
	for _, p := range parts {
		if p.size < 0 {
			p.size = max(size-p.offset, 0)
		}
		if p.offset < 0 || p.offset > size || p.size > size-p.offset {
			results[p.model].tell(Finding{Rule: "data-extent", Severity: Medium, Place: Place{File: results[p.model].Path, Node: p.name},
				Message: fmt.Sprintf("%q is to be read from byte %d to %d of %s, which has %d: readers that do not check read beyond it.", p.name, p.offset, p.offset+p.size, filepath.Base(at), size), Remedy: "Do not load it; get both files again from their source."})
			continue
		}
		extents = append(extents, extent{p.offset, p.offset + p.size})
	}
	if index < 0 || !raw(results[index]) {
		return nil
	}
	return results[index].account(ctx, f, gaps(extents, size), results[parts[0].model].Path)
}

// openBeside opens a file that was scanned, or one beside what was, which is not scanned itself.
func openBeside(targets []target, index int, at string) (*os.File, int64, error) {
	var f *os.File
	var err error
	if index >= 0 {
		if targets[index].problem != nil {
			return nil, 0, targets[index].problem
		}
		f, err = targets[index].open()
	} else {
		var root *os.Root
		if root, err = os.OpenRoot(filepath.Dir(at)); err == nil {
			f, err = root.Open(filepath.Base(at))
			err = errors.Join(err, root.Close())
		}
	}
	if err != nil {
		var inPath *os.PathError
		if errors.As(err, &inPath) {
			err = inPath.Err
		}
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// raw reports whether a file was left undecided for no reason but that it is of no format.
func raw(r Result) bool {
	return r.Status == Undecided && r.Format == "unknown" && len(r.Findings) == 1 && r.Findings[0].Rule == "unrecognised" && r.Findings[0].Place.Entry == ""
}

// account makes a file of raw numbers clean, if what no model takes of it are zeros, as
// writers fill up to an alignment with.
func (r *Result) account(ctx context.Context, content io.ReaderAt, unused []extent, model string) error {
	buffer := make([]byte, 64<<10)
	for _, g := range unused {
		for at := g.from; at < g.to; {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := content.ReadAt(buffer[:min(int64(len(buffer)), g.to-at)], at)
			for i, c := range buffer[:n] {
				if c != 0 {
					r.Findings[0].Place.Offset = at + int64(i)
					r.Findings[0].Message = fmt.Sprintf("%s takes numbers from it, and the bytes from %d to %d, which are no zeros, belong to none: what they are there for is not known.", filepath.Base(model), g.from, g.to-1)
					return nil
				}
			}
			if at += int64(n); n == 0 {
				return err
			}
		}
	}
	r.Status, r.Format, r.Findings = Clean, "data", []Finding{}
	return nil
}

// tell adds a finding to a result that was made.
func (r *Result) tell(f Finding) {
	if len(r.Findings) < MaxFindings {
		r.Findings = append(r.Findings, f)
	}
	r.Status = r.Status.Worse(f.status())
	slices.SortStableFunc(r.Findings, byPlace)
}

func byPlace(a, b Finding) int {
	return cmp.Or(cmp.Compare(a.Place.Entry, b.Place.Entry), cmp.Compare(a.Place.Offset, b.Place.Offset), cmp.Compare(a.Rule, b.Rule))
}
