package pickle

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"assay/internal/scan"
	"assay/internal/scan/corpus"
)

func scanned(t testing.TB, name string, data []byte) scan.Result {
	t.Helper()
	r := scan.Runner{Scanners: []scan.Scanner{Scanner{}, Embedded{}}}
	result, err := r.Content(context.Background(), name, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// sample is a stream of the corpus.
type sample struct {
	name string
	data []byte
}

func samples(want scan.Status) (out []sample) {
	for _, c := range corpus.Pickles() {
		if c.Want == want {
			out = append(out, sample{c.Name, c.Data})
		}
	}
	return out
}

func malicious() []sample { return samples(scan.Found) }

func benign() []sample { return samples(scan.Clean) }

// TestQuality is the gate that the scanner is held to: all that is malicious is found,
// nothing harmless is, and of the harmless at most 2 in 100 are undecided.
func TestQuality(t *testing.T) {
	bad, good := malicious(), benign()
	if len(bad) < 200 || len(good) < 100 {
		t.Fatalf("the corpus has %d malicious and %d benign files", len(bad), len(good))
	}
	for _, s := range bad {
		if r := scanned(t, s.name, s.data); r.Status != scan.Found {
			t.Errorf("%s is %s: %v", s.name, r.Status, r.Findings)
		}
	}
	undecided := 0
	for _, s := range good {
		switch r := scanned(t, s.name, s.data); r.Status {
		case scan.Clean:
		case scan.Undecided:
			undecided++
			t.Logf("%s is undecided: %v", s.name, r.Findings)
		default:
			t.Errorf("%s is %s: %v", s.name, r.Status, r.Findings)
		}
	}
	if 100*undecided > 2*len(good) {
		t.Errorf("%d of %d benign files are undecided", undecided, len(good))
	}
	t.Logf("%d malicious files found, %d benign files, %d of them undecided", len(bad), len(good), undecided)
}

// TestSpread holds that the same stream is found in whichever way it is read: in place, and
// unpacked from a container byte by byte.
func TestSpread(t *testing.T) {
	for _, s := range malicious() {
		whole := scanned(t, "x", s.data)
		r := scan.Runner{Scanners: []scan.Scanner{wrapper{}, Scanner{}, Embedded{}}}
		data := append([]byte(wrapped), s.data...)
		got, err := r.Content(context.Background(), "x", bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if got.Status != whole.Status {
			t.Errorf("%s is %s in a container and %s by itself: %v", s.name, got.Status, whole.Status, got.Findings)
		}
	}
}

const wrapped = "WRAPPED!"

// wrapper is a container with one entry that must be unpacked.
type wrapper struct{}

func (wrapper) Describe() scan.Description { return scan.Description{Name: "wrapper"} }
func (wrapper) Match(p scan.Probe) bool    { return bytes.HasPrefix(p.Head, []byte(wrapped)) }
func (wrapper) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	content, size, err := f.Random(ctx)
	if err != nil {
		return err
	}
	r.AccountsForAll()
	return r.Entry(ctx, f.Stream("entry", size-int64(len(wrapped)), func() (io.ReadCloser, error) {
		return io.NopCloser(iotest.OneByteReader(io.NewSectionReader(content, int64(len(wrapped)), size))), nil
	}))
}

// TestTruncated holds that a stream cut short is never clean, and that what a cut stream
// calls before its end is found as soon as it is there.
func TestTruncated(t *testing.T) {
	p := corpus.NewStream(4)
	data := p.Array("numpy.core", 4).Stop()
	for n := 1; n < len(data); n++ {
		if r := scanned(t, "x", data[:n]); r.Status == scan.Clean {
			t.Errorf("%d of %d bytes are clean", n, len(data))
		}
	}
	evil := corpus.Evil(4, "os", "system", "echo pwned")
	for n := len(evil) - 1; n <= len(evil); n++ {
		if r := scanned(t, "x", evil[:n]); r.Status != scan.Found {
			t.Errorf("%d of %d bytes are %s", n, len(evil), r.Status)
		}
	}
}

// TestPlaces holds what people get to read of a finding.
func TestPlaces(t *testing.T) {
	data := []byte("\x80\x04N0\x8c\x08operator\x8c\x0aattrgetter\x93\x8c\x06system\x85R\x8c\x08builtins\x8c\x0a__import__\x93\x8c\x02os\x85R\x85R\x8c\x02id\x85R.")
	r := scanned(t, "x", data)
	last := r.Findings[len(r.Findings)-1]
	if last.Rule != "pickle-call" || last.Severity != scan.Critical || last.Place.Node != "REDUCE" || data[last.Place.Offset] != 'R' ||
		last.Message != `Loading it calls os.system("id"): it runs a command of the file's choice.` {
		t.Errorf("got %+v", last)
	}
	if got := strings.Join(last.Trace, "\n"); !strings.Contains(got, "of os.system with\n  \"id\"") {
		t.Errorf("the trace is\n%s", got)
	}
}

// TestBounds holds the memory of streams that make as much as they can, 256 MiB in all.
func TestBounds(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(200 << 20)) // as the command does
	n := 1 << 20
	for name, data := range map[string][]byte{
		"nested lists":   corpus.NestedLists(n),
		"nested tuples":  []byte("\x80\x02)" + strings.Repeat("\x85", 4*n) + "."),
		"many marks":     []byte("\x80\x02" + strings.Repeat("(", 8*n)),
		"large stack":    []byte("\x80\x02" + strings.Repeat("N", 16*n) + "."),
		"large memo":     []byte("\x80\x04N" + strings.Repeat("\x94", 16*n) + "."),
		"memoed tuples":  []byte("\x80\x04" + strings.Repeat(")\x940", 4*n) + "N."),
		"memoed lists":   []byte("\x80\x04" + strings.Repeat("]Na\x940", 4*n) + "N."),
		"many imports":   []byte("\x80\x02" + imports(200_000) + "N."),
		"garbage tuples": []byte("\x80\x04" + strings.Repeat("NNN\x870", 4*n) + "N."),
		"long lines":     []byte("\x80\x02" + strings.Repeat("V"+strings.Repeat("x", 1<<20)+"\n0", 16) + "N."),
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		peak, done := uint64(0), make(chan struct{})
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				runtime.ReadMemStats(&after)
				peak = max(peak, after.HeapAlloc)
				select {
				case <-done:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		}()
		r := scanned(t, name, data)
		close(done)
		<-stopped
		if used := int64(peak) - int64(before.HeapAlloc); used > 256<<20 {
			t.Errorf("%s takes %d MiB", name, used>>20)
		} else {
			t.Logf("%s is %s and takes %d MiB", name, r.Status, used>>20)
		}
		if name == "nested lists" && r.Status != scan.Clean || r.Status == scan.NotAModel {
			t.Errorf("%s is %s: %v", name, r.Status, r.Findings)
		}
	}
}

func imports(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "cm%d\nn\n0", i)
	}
	return b.String()
}

// FuzzScan looks for content that makes the scanner panic, or that it decides otherwise
// when it is looked at again.
func FuzzScan(f *testing.F) {
	for _, s := range append(malicious(), benign()...) {
		if len(s.data) < 4096 {
			f.Add(s.data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := scanned(t, "x", data)
		for _, x := range r.Findings {
			if strings.Contains(x.Message, "failed on it") {
				t.Fatal(x.Message)
			}
		}
		if again := scanned(t, "x", data); !reflect.DeepEqual(r, again) {
			t.Errorf("first %+v\nthen %+v", r, again)
		}
	})
}

// TestUndecided holds what is not known to be harmless, and would be called clean by mistake.
func TestUndecided(t *testing.T) {
	text := func(s string) string { return "\x8c" + string(rune(len(s))) + s }
	p := corpus.NewStream(3)
	corpus.JoblibArray(p, "f8", 8)
	array := append([]byte("cours\nModel\n)R."), make([]byte, 64)...)[:64]
	for name, body := range map[string]string{
		"a class of the user's":       text("ours") + text("Model") + "\x93)\x81}b",
		"an import":                   text("ours.models") + text("Net") + "\x93",
		"the program's own class":     text("__main__") + text("Net") + "\x93)\x81",
		"the registry":                "\x82\x01)R",
		"a persistent id":             text("storage") + "Q",
		"a persistent id as text":     "P1\n",
		"a handed-over loader":        text("numpy.random._pickle") + text("__generator_ctor") + "\x93C\x02xx" + text("torch.storage") + text("_load_from_bytes") + "\x93\x86R",
		"a loader, used and handed":   text("torch.storage") + text("_load_from_bytes") + "\x93\x94C\x02N.\x85R0" + text("numpy.random._pickle") + text("__generator_ctor") + "\x93C\x02xxh\x00\x86R",
		"a default by getattr":        text("collections") + text("defaultdict") + "\x93" + text("builtins") + text("getattr") + "\x93\x85R",
		"a file by a class":           text("xgboost.core") + text("DMatrix") + "\x93" + text("/etc/passwd") + "\x85R",
		"an odd encoding":             text("_codecs") + text("encode") + "\x93" + text("x") + text("zlib_codec") + "\x86R",
		"a call of an object":         text("collections") + text("OrderedDict") + "\x93)R)R",
		"a future protocol":           "\x80\x06N",
		"a partial of what it is not": text("functools") + text("partial") + "\x93" + text("ours") + text("f") + "\x93\x85R",
	} {
		if r := scanned(t, name, []byte("\x80\x04"+body+".")); r.Status != scan.Undecided {
			t.Errorf("%s is %s: %v", name, r.Status, r.Findings)
		}
	}
	data := append(append(p.Bytes(), array...), '.')
	if r := scanned(t, "joblib", data); r.Status != scan.Undecided || r.Findings[0].Rule != "pickle-ambiguous" {
		t.Errorf("an array of opcodes is %s: %v", r.Status, r.Findings)
	}
}
