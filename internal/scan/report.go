package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// MaxFindings is how many findings of one file are told. The worst are kept.
const MaxFindings = 200

// Report is where a scanner reports what it finds in one file.
type Report struct {
	file     *File
	work     *work
	extents  []extent
	children Status
	told     map[string]bool // by AddOnce: rules and nodes
}

// extent is a part of a file, from one offset to before another.
type extent struct{ from, to int64 }

// Add reports a finding. Without a place's file, the place is in the file that is scanned.
func (r *Report) Add(f Finding) {
	if f.Place.File == "" {
		f.Place = r.file.Place(f.Place.Offset, f.Place.Node)
	}
	r.work.add(f)
	r.children = r.children.Worse(f.status())
}

// mostTold is how many rules and nodes AddOnce remembers.
const mostTold = 1000

// AddOnce reports a finding, unless the same rule was reported of the same node. Beyond many nodes it
// reports again rather than leave out, so that nothing hides behind a crowd of others.
func (r *Report) AddOnce(f Finding) {
	key := f.Rule + " " + f.Place.Node
	if r.told[key] {
		return
	}
	if r.told == nil {
		r.told = map[string]bool{}
	}
	if len(r.told) < mostTold {
		r.told[key] = true
	}
	r.Add(f)
}

// Undecided reports what keeps the file from being decided.
func (r *Report) Undecided(rule string, place Place, message, remedy string) {
	r.Add(Finding{Rule: rule, Severity: Unknown, Place: place, Message: message, Remedy: remedy})
}

func (f *Finding) status() Status {
	if f.Severity == Unknown {
		return Undecided
	}
	return Found
}

// Accounts says that the scanner understood the bytes from one offset to before another.
// Bytes that no scanner accounts for are looked at as content of their own.
func (r *Report) Accounts(from, to int64) {
	if to > from {
		r.extents = append(r.extents, extent{from, to})
	}
}

// AccountsForAll says that the scanner understood all of the content.
func (r *Report) AccountsForAll() { r.Accounts(0, 1<<62) }

// Entry has an entry of a container scanned, made by File.Section or File.Stream, as a file
// of its own. What is wrong with it is reported; the error is that of the context, and of
// limits after which the container has nothing more to hand over.
func (r *Report) Entry(ctx context.Context, f *File) error {
	_, err := r.entry(ctx, f)
	return err
}

// Scope gives a function that gives back what memory was taken by then: that of one part of
// a container, before the next is read.
func (r *Report) Scope() func() {
	memory := r.work.memory
	return func() { r.work.memory = memory }
}

func (r *Report) entry(ctx context.Context, f *File) (format string, err error) {
	memory := r.work.memory
	status, format, err := r.work.file(ctx, f)
	r.work.memory = memory
	r.children = r.children.Worse(status)
	return format, err
}

// polyglot reports content that is two formats at once.
func (r *Report) polyglot(f *File, one, other string) {
	r.Add(Finding{Rule: "polyglot", Severity: High, Place: f.Place(0, other),
		Message: fmt.Sprintf("It is %s and %s at once: which of the two is loaded depends on the program, so that what one checks is not what another runs.", one, other),
		Remedy:  "Do not load it; get the file again from its source."})
}

// Data has an entry scanned that its container's format takes for plain numbers, such as
// the storage of a tensor. Only what is known to be dangerous in it counts, since numbers
// can begin as any format does; it must still be readable to its end.
func (r *Report) Data(ctx context.Context, f *File) error {
	w, memory := r.work, r.work.memory
	before := slices.Clone(w.findings)
	status, _, err := w.file(ctx, f)
	w.memory = memory
	if status == Found || err != nil {
		r.children = r.children.Worse(status)
		return err
	}
	w.findings = before
	if _, err := f.whole(ctx); err != nil {
		r.Undecided("unreadable", f.Place(0, ""), fmt.Sprintf("It could not be read in full: %v.", err), "Get the file again from its source, or leave it out.")
	}
	return ctx.Err()
}

// gaps are the parts of a file that no extent covers.
func gaps(extents []extent, size int64) []extent {
	slices.SortFunc(extents, func(a, b extent) int { return cmp.Compare(a.from, b.from) })
	var out []extent
	at := int64(0)
	for _, e := range extents {
		if e.from > at {
			out = append(out, extent{at, min(e.from, size)})
		}
		if at = max(at, e.to); at >= size {
			return out
		}
	}
	return append(out, extent{at, size})
}

// work is the scan of one file on disk and all that is in it.
type work struct {
	runner   *Runner
	unpacked budget
	memory   int64
	held     bool
	entries  int
	findings []Finding
	more     int
	beside   map[string][]part
	parts    int
}

// add keeps a finding. Beyond the most that are told it takes the place of the least bad.
func (w *work) add(f Finding) {
	if len(w.findings) < MaxFindings {
		w.findings = append(w.findings, f)
		return
	}
	w.more++
	rank := func(f Finding) int { return slices.Index(Severities(), f.Severity) }
	least := 0
	for i := range w.findings {
		if rank(w.findings[i]) >= rank(w.findings[least]) {
			least = i
		}
	}
	if rank(f) < rank(w.findings[least]) {
		w.findings[least] = f
	}
}

// file scans a file or an entry and gives its status and format.
func (w *work) file(ctx context.Context, f *File) (status Status, format string, err error) {
	r := &Report{file: f, work: w}
	defer func() {
		status = status.Worse(r.children)
		if again, ok := f.at.(*rewound); ok {
			again.close()
		}
	}()
	unread := func(err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, errUnpacked) || r.children == "" || r.children == NotAModel {
			r.Undecided("unreadable", f.Place(0, ""), fmt.Sprintf("It could not be read in full: %v.", err), "Get the file again from its source, or leave it out.")
		}
		if errors.Is(err, errUnpacked) {
			return err
		}
		return nil
	}
	if w.entries++; w.entries > w.runner.Limits.entries() || f.Depth > w.runner.Limits.depth() {
		r.Undecided("nesting", f.Place(0, ""), fmt.Sprintf("It holds more than %d entries, or entries within more than %d others, and the rest was not looked at.", w.runner.Limits.entries(), w.runner.Limits.depth()), "Unpack it and scan what comes out.")
		return Undecided, "", errUnpacked
	}
	if f.Size() == 0 {
		return NotAModel, "empty", nil
	}
	p, err := f.probe(ctx)
	if err != nil {
		return Undecided, "unknown", unread(err)
	}
	status, format = Clean, ""
	for _, s := range w.runner.Scanners {
		if s.Describe().Last || !s.Match(p) {
			continue
		}
		name, before, told := s.Describe().Name, len(r.extents), r.children
		err := w.scan(ctx, s, f, r)
		if err == nil && len(r.extents) == before && r.children == told && told == "" {
			continue // it was something else
		}
		if format == "" {
			format = name
		} else {
			if before > 0 && len(r.extents) > before { // both understood something of it
				r.polyglot(f, format, name)
			}
			format += "+" + name
		}
		if err != nil {
			if err := unread(err); err != nil {
				return Undecided, format, err
			}
		}
	}
	size, err := f.whole(ctx)
	if err != nil {
		return Undecided, cmp.Or(format, "unknown"), unread(err)
	}
	if format == "" {
		return w.unmatched(ctx, f, p, r, unread)
	}
	return status, format, w.rest(ctx, f, r, size, format)
}

// scan has a scanner scan. A panic is a fault of the scanner, and leaves the file undecided.
func (w *work) scan(ctx context.Context, s Scanner, f *File, r *Report) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("the scanner %s failed on it, please report this: %v", s.Describe().Name, fault)
		}
	}()
	return s.Scan(ctx, f, r)
}

// unmatched decides of content of no known format.
func (w *work) unmatched(ctx context.Context, f *File, p Probe, r *Report, unread func(error) error) (Status, string, error) {
	if f.size == 0 {
		return NotAModel, "empty", nil
	}
	format, err := plain(ctx, f, p)
	if err != nil {
		return Undecided, "unknown", unread(err)
	}
	if format != "" {
		return NotAModel, format, nil
	}
	for _, s := range w.runner.Scanners {
		if !s.Describe().Last || !s.Match(p) {
			continue
		}
		if err := w.scan(ctx, s, f, r); err != nil {
			if err := unread(err); err != nil {
				return Undecided, "unknown", err
			}
		}
		if len(r.extents) > 0 {
			return Clean, s.Describe().Name, w.rest(ctx, f, r, f.size, s.Describe().Name)
		}
	}
	message := "Its content is of no format that is known, so what loading it would do is not known either."
	if f.Depth > 0 {
		message = "The content of this part is of no format that is known, so what loading it would do is not known either."
	}
	r.Undecided("unrecognised", f.Place(0, ""), message, "Convert it to a format that is known, such as safetensors or ONNX, or leave it out.")
	return Undecided, "unknown", nil
}

// rest has the parts that no scanner accounted for scanned as content of their own.
func (w *work) rest(ctx context.Context, f *File, r *Report, size int64, format string) error {
	for _, g := range gaps(r.extents, size) {
		if g.from >= g.to {
			continue
		}
		part := f.Section(fmt.Sprintf("bytes %d to %d", g.from, g.to-1), g.from, g.to-g.from)
		if g.from == 0 && g.to == size {
			if r.children != "" {
				continue // what is wrong is told already
			}
			r.Undecided("unrecognised", f.Place(0, ""), "Nothing of its content could be understood, though it begins as a known format does.", "Get the file again from its source, or leave it out.")
			continue
		}
		other, err := r.entry(ctx, part)
		if err != nil {
			return err
		}
		// Several of one format in a file are known: arrays, streams of a pickle.
		if other != format && w.scans(other) {
			r.polyglot(part, format, other)
		}
	}
	return nil
}

// scans reports whether a format is one of the scanners', rather than text, a picture or unknown.
func (w *work) scans(format string) bool {
	return slices.ContainsFunc(w.runner.Scanners, func(s Scanner) bool {
		return !s.Describe().Last && strings.HasPrefix(format+"+", s.Describe().Name+"+")
	})
}

// plain names content that is plainly no model: text all through, or a picture or document
// by its first bytes.
func plain(ctx context.Context, f *File, p Probe) (string, error) {
	for _, m := range magics {
		if m.matches(p.Head) {
			return m.name, nil
		}
	}
	if !printable(p.Head, true) {
		return "", nil
	}
	r, err := f.Reader(ctx)
	if err != nil {
		return "", err
	}
	defer r.Close()
	buffer := make([]byte, 64<<10)
	kept := 0 // bytes of a character that goes on in what is read next
	for {
		n, err := io.ReadFull(r, buffer[kept:])
		n += kept
		end := err != nil
		if end && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return "", err
		}
		if !printable(buffer[:n], !end) {
			return "", nil
		}
		if end {
			return "text", nil
		}
		kept = partial(buffer[:n])
		copy(buffer, buffer[n-kept:n])
	}
}
