package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// box is a container for tests: "BOX", then entries of a length and a content, each marked
// d for stored data, s for a stored entry, p for one that is unpacked, w for one whose
// length is a lie, b for one that is a bomb.
type box struct{}

func (box) Describe() Description { return Description{Name: "box"} }
func (box) Match(p Probe) bool    { return bytes.HasPrefix(p.Head, []byte("BOX")) }
func (box) Scan(ctx context.Context, f *File, r *Report) error {
	content, size, err := f.Random(ctx)
	if err != nil {
		return err
	}
	r.Accounts(0, 3)
	for at := int64(3); at < size; {
		head := make([]byte, 2)
		if _, err := content.ReadAt(head, at); err != nil {
			return err
		}
		n := int64(head[1])
		if at+2+n > size {
			return io.ErrUnexpectedEOF
		}
		name := fmt.Sprint("entry at ", at)
		stored := f.Section(name, at+2, n)
		open := func(times int) func() (io.ReadCloser, error) {
			return func() (io.ReadCloser, error) {
				b := make([]byte, n)
				_, err := content.ReadAt(b, at+2)
				return io.NopCloser(strings.NewReader(strings.Repeat(string(b), times))), err
			}
		}
		switch head[0] {
		case 'd':
			err = r.Data(ctx, stored)
		case 's':
			err = r.Entry(ctx, stored)
		case 'p':
			err = r.Entry(ctx, f.Stream(name, n, open(1)))
		case 'w':
			err = r.Entry(ctx, f.Stream(name, n+1, open(1)))
		case 'b':
			err = r.Entry(ctx, f.Stream(name, -1, open(1<<20)))
		default:
			return nil // the rest is not accounted for
		}
		if err != nil {
			return err
		}
		r.Accounts(at, at+2+n)
		at += 2 + n
	}
	return nil
}

// mark finds files that begin with EVIL, and knows those that are FINE to the last byte.
type mark struct{}

func (mark) Describe() Description { return Description{Name: "mark"} }
func (mark) Match(p Probe) bool {
	return bytes.HasPrefix(p.Head, []byte("EVIL")) || bytes.HasPrefix(p.Head, []byte("FINE")) || bytes.HasPrefix(p.Head, []byte("FAIL"))
}
func (mark) Scan(ctx context.Context, f *File, r *Report) error {
	reader, err := f.Reader(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	head := make([]byte, 4)
	if _, err := io.ReadFull(reader, head); err != nil {
		return err
	}
	if string(head) == "FAIL" {
		panic("a fault")
	}
	if string(head) == "EVIL" {
		r.Add(Finding{Rule: "mark", Severity: High, Message: "It is evil.", Remedy: "Leave it."})
	}
	r.Accounts(0, 4)
	return nil
}

func pack(entries ...string) string {
	out := "BOX"
	for _, e := range entries {
		out += e[:1] + string([]byte{byte(len(e) - 1)}) + e[1:]
	}
	return out
}

func content(t testing.TB, r *Runner, data string) Result {
	t.Helper()
	if r.Scanners == nil {
		r.Scanners = []Scanner{box{}, mark{}}
	}
	got, err := r.Content(context.Background(), "file", strings.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestStatus holds what becomes of content, one entry at a time.
func TestStatus(t *testing.T) {
	for name, c := range map[string]struct {
		data   string
		status Status
		rule   string // of the first finding
		entry  string
	}{
		"nothing":                  {"", NotAModel, "", ""},
		"text":                     {"a readme\n", NotAModel, "", ""},
		"text with a control":      {"a readme\x01\n", Undecided, "unrecognised", ""},
		"text with control later":  {strings.Repeat("é\n", 50_000) + "\x00", Undecided, "unrecognised", ""},
		"long text":                {strings.Repeat("é\n", 50_000), NotAModel, "", ""},
		"no UTF-8":                 {"a readme \xff", Undecided, "unrecognised", ""},
		"a picture":                {"\x89PNG\r\n\x1a\n\x00\x00", NotAModel, "", ""},
		"fine":                     {"FINE", Clean, "", ""},
		"evil":                     {"EVIL", Found, "mark", ""},
		"fine, then more":          {"FINE\x00\x01", Undecided, "unrecognised", "bytes 4 to 5"},
		"fine, then evil":          {"FINEEVIL", Found, "mark", "bytes 4 to 7"},
		"a fault":                  {"FAIL", Undecided, "unreadable", ""},
		"empty box":                {"BOX", Clean, "", ""},
		"stored":                   {pack("sFINE", "sEVIL"), Found, "mark", "entry at 9"},
		"unpacked":                 {pack("pFINE", "pEVIL"), Found, "mark", "entry at 9"},
		"clean box":                {pack("pFINE", "sFINE", "stext"), Clean, "", ""},
		"data":                     {pack("d\x00\x01\x02"), Clean, "", ""},
		"data that begins as evil": {pack("dEVIL"), Found, "mark", "entry at 3"},
		"unknown entry":            {pack("s\x00\x01\x02"), Undecided, "unrecognised", "entry at 3"},
		"wrong size":               {pack("wFINE"), Undecided, "unreadable", "entry at 3"},
		"not accounted for":        {pack("sFINE") + "x\x03EVIL", Undecided, "unrecognised", "bytes 9 to 14"},
		"cut":                      {pack("sFINE")[:7], Undecided, "unreadable", ""},
		"box in a box":             {pack("p" + pack("s"+pack("pEVIL"))), Found, "mark", "entry at 3!entry at 3!entry at 3"},
		"a bomb":                   {pack("bFINE" + strings.Repeat("x", 200)), Undecided, "unreadable", "entry at 3"},
	} {
		r := content(t, &Runner{Limits: Limits{Unpacked: 1 << 20, Ratio: 1}}, c.data)
		if r.Status != c.status {
			t.Errorf("%s is %s, want %s: %v", name, r.Status, c.status, r.Findings)
		}
		if c.rule != "" && (len(r.Findings) == 0 || r.Findings[0].Rule != c.rule || r.Findings[0].Place.Entry != c.entry) {
			t.Errorf("%s has %+v, want %s at %q", name, r.Findings, c.rule, c.entry)
		}
		if c.rule == "" && len(r.Findings) > 0 {
			t.Errorf("%s has %v", name, r.Findings)
		}
	}
}

// TestLimits holds that what goes beyond a limit is undecided.
func TestLimits(t *testing.T) {
	deep := "FINE"
	for range 12 {
		deep = pack("s" + deep)
	}
	many := pack(slices.Repeat([]string{"sFINE"}, 200)...)
	for name, c := range map[string]struct {
		data   string
		limits Limits
		status Status
	}{
		"deep":      {deep, Limits{}, Undecided},
		"deep, yet": {deep, Limits{Depth: 20}, Clean},
		"many":      {many, Limits{Entries: 100}, Undecided},
		"many, yet": {many, Limits{}, Clean},
		"memory":    {pack("p" + many[:200]), Limits{Memory: 100}, Undecided},
	} {
		if r := content(t, &Runner{Limits: c.limits}, c.data); r.Status != c.status {
			t.Errorf("%s is %s: %v", name, r.Status, r.Findings)
		}
	}
	evil := content(t, &Runner{}, pack(append(slices.Repeat([]string{"s\x00"}, 300), "sEVIL")...))
	if evil.Status != Found || len(evil.Findings) != MaxFindings+1 || !slices.ContainsFunc(evil.Findings, func(f Finding) bool { return f.Rule == "mark" }) {
		t.Errorf("of many findings the worst is lost: %s, %d", evil.Status, len(evil.Findings))
	}
}

// failing gives an error in the middle.
type failing struct{ io.ReaderAt }

func (f failing) ReadAt(p []byte, offset int64) (int, error) {
	if offset+int64(len(p)) > 8000 {
		return 0, errors.New("the disk is broken")
	}
	return f.ReaderAt.ReadAt(p, offset)
}

// TestUnreadable holds that a file that cannot be read in full is never clean.
func TestUnreadable(t *testing.T) {
	data := strings.Repeat("text\n", 10_000)
	r := Runner{Scanners: []Scanner{box{}, mark{}}}
	got, err := r.Content(context.Background(), "x", failing{strings.NewReader(data)}, int64(len(data)))
	if err != nil || got.Status != Undecided {
		t.Errorf("a broken disk gives %v, %v", got, err)
	}
	got, err = r.Content(context.Background(), "x", strings.NewReader(data), int64(len(data))+5)
	if err != nil || got.Status != Undecided {
		t.Errorf("a file that became shorter gives %v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Content(ctx, "x", strings.NewReader(data), int64(len(data))); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled scan gives %v", err)
	}
}

// TestPaths walks a folder with what can be in one.
func TestPaths(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	for name, data := range map[string]string{"b/evil": "EVIL", "a": "FINE", "c/d/text": "text", "b/box": pack("pEVIL")} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(outside, []byte("FINE"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"in": "b/evil", "out": outside, "loop": "../" + filepath.Base(dir), "nowhere": "x"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Skip(err)
		}
	}
	want := []string{"a clean", "b/box finding", "b/evil finding", "c/d/text not-a-model", "in finding", "loop undecided", "nowhere undecided", "out undecided"}
	var first []Result
	for _, workers := range []int{1, 3, 4} {
		last := 0
		r := Runner{Scanners: []Scanner{box{}, mark{}}, Workers: workers, Progress: func(done, total int, _ string) {
			if done != last+1 || total != len(want) {
				t.Errorf("progress %d of %d after %d", done, total, last)
			}
			last = done
		}}
		results, err := r.Paths(context.Background(), []string{dir})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, x := range results {
			rel, _ := filepath.Rel(dir, x.Path)
			got = append(got, filepath.ToSlash(rel)+" "+string(x.Status))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d workers give\n%q, want\n%q", workers, got, want)
		}
		if first != nil && !reflect.DeepEqual(first, results) {
			t.Errorf("%d workers give other results than one", workers)
		}
		first = results
	}
	r := Runner{Scanners: []Scanner{mark{}}}
	if _, err := r.Paths(context.Background(), []string{filepath.Join(dir, "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a path that is not there gives %v", err)
	}
}

// TestIgnores holds that an ignore takes out its rule in its files until its day, and no more.
func TestIgnores(t *testing.T) {
	const file = "ignores:\n  - {rule: mark, path: models/*, reason: known, expires: \"2030-01-31\"}\n  - {rule: mark, path: other, reason: old, expires: \"2020-01-01\"}\n"
	g, err := ReadIgnores("f", []byte(file), []string{"mark", "unrecognised"})
	if err != nil {
		t.Fatal(err)
	}
	results := func() []Result {
		f := func(path, rule string, s Severity) Result {
			x := Finding{Rule: rule, Severity: s, Place: Place{File: path}}
			return Result{Path: path, Status: x.status(), Findings: []Finding{x}}
		}
		return []Result{f("models/a", "mark", High), f("models/b/c", "unrecognised", Unknown), f("models/b/d", "mark", High), f("other/x", "mark", High)}
	}
	for day, want := range map[string][]Status{
		"2030-01-31": {Clean, Undecided, Clean, Found},
		"2030-02-01": {Found, Undecided, Found, Found},
	} {
		at, _ := time.Parse(time.DateOnly, day)
		got := results()
		ignored, stale := g.Apply(got, at)
		for i := range got {
			if got[i].Status != want[i] {
				t.Errorf("on %s %s is %s, want %s", day, got[i].Path, got[i].Status, want[i])
			}
		}
		if n := map[string]int{"2030-01-31": 2}[day]; len(ignored) != n || len(stale) != 2-min(n, 1) {
			t.Errorf("on %s %d are ignored and %d ignores stale", day, len(ignored), len(stale))
		}
	}
}
