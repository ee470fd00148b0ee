package evidence

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"assay/internal/signing"
)

type record struct {
	Unit    int
	Success bool
}

var manifest = Manifest{
	Program: Program{Version: "1", SHA256: "ab", Go: "go1", System: "linux/amd64", Runtime: "1.2", Library: "cd"},
	Inputs:  []Input{{"model", "m.onnx", 3, "ef"}},
	Seed:    7, Plan: "12",
}

func newRun(t *testing.T) *Run {
	t.Helper()
	r, err := Create(filepath.Join(t.TempDir(), "run"), manifest)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newKey(t *testing.T) *signing.Key {
	t.Helper()
	key, created, err := signing.OpenKey(filepath.Join(t.TempDir(), "deep", "key.pem"))
	if err != nil || !created {
		t.Fatalf("created %v: %v", created, err)
	}
	return key
}

// sealed gives a signed run with records.
func sealed(t *testing.T) (*Run, *signing.Key) {
	t.Helper()
	r, key := newRun(t), newKey(t)
	if err := PutRecords(r, "observations/a/0000.jsonl.gz", []record{{1, true}, {2, false}}); err != nil {
		t.Fatal(err)
	}
	if err := r.Put("decisions.json", map[string]string{"outcome": "adequate"}); err != nil {
		t.Fatal(err)
	}
	if err := r.Seal(key, TestResult{Result: "PASSED", PassedTests: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	return r, key
}

// pack gives a text as it is in a file of records.
func pack(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		panic(err) // memory does not fail
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestRecordsComeBack(t *testing.T) {
	r := newRun(t)
	want := []record{{1, true}, {2, false}, {3, true}}
	if err := PutRecords(r, "o/a.jsonl.gz", want); err != nil {
		t.Fatal(err)
	}
	got, err := Records[record](r, "o/a.jsonl.gz")
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v, %v", got, err)
	}
	first, _ := r.Read("o/a.jsonl.gz")
	if err := PutRecords(r, "o/a.jsonl.gz", want); err != nil {
		t.Fatal(err)
	}
	if again, _ := r.Read("o/a.jsonl.gz"); !bytes.Equal(first, again) {
		t.Error("the same records gave other bytes")
	}
}

func TestDamagedRecords(t *testing.T) {
	r := newRun(t)
	whole := pack(`{"Unit":1}`)
	for name, content := range map[string][]byte{
		"no gzip": []byte("{}"), "cut": whole[:len(whole)-6], "no JSON": pack("{"), "unknown field": pack(`{"Other":1}`), "wrong type": pack(`{"Unit":"a"}`),
	} {
		if err := r.Write("x", content); err != nil {
			t.Fatal(err)
		}
		if got, err := Records[record](r, "x"); err == nil || !strings.Contains(err.Error(), "is damaged") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestCreateGoesOnWithTheSameRun(t *testing.T) {
	r := newRun(t)
	if err := r.Put("a.json", 1); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(r.Dir(), "b.json.1"+partial)
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Create(r.Dir(), manifest)
	if err != nil {
		t.Fatal(err)
	}
	if !again.Has("a.json") || again.Manifest().Run != r.Manifest().Run {
		t.Error("what was there is lost")
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("half a file is still there")
	}
}

func TestCreateRefusesAnotherRun(t *testing.T) {
	r := newRun(t)
	changed := manifest
	changed.Inputs = []Input{{"model", "m.onnx", 3, "other"}}
	seeded := manifest
	seeded.Seed++
	for want, m := range map[string]Manifest{"the model (m.onnx) has changed": changed, "the seed was 7 and is 8": seeded} {
		_, err := Create(r.Dir(), m)
		var other *OtherRunError
		if !errors.As(err, &other) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
	}
	strange := t.TempDir()
	if err := os.WriteFile(filepath.Join(strange, "letter.txt"), []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(strange, manifest); err == nil {
		t.Error("a folder with other files was taken")
	}
}

func TestVerifyFindsNothingInAWholeRun(t *testing.T) {
	r, key := sealed(t)
	v, err := r.Verify(key.Public())
	if err != nil || len(v.Problems) != 0 || !v.Trusted || v.Files != 4 || v.Predicate.Result != "PASSED" {
		t.Fatalf("%+v, %v", v, err)
	}
	if v, err = r.Verify(); err != nil || len(v.Problems) != 0 || v.Trusted {
		t.Fatalf("without a key: %+v, %v", v, err)
	}
}

// TestVerifyFindsEveryChangedByte changes each byte of each file in turn.
func TestVerifyFindsEveryChangedByte(t *testing.T) {
	r, key := sealed(t)
	names, err := r.Names("")
	if err != nil || len(names) != 5 {
		t.Fatalf("%v, %v", names, err)
	}
	for _, name := range names {
		content, err := r.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range content {
			changed := bytes.Clone(content)
			changed[i] ^= 1
			if err := os.WriteFile(r.path(name), changed, 0o600); err != nil {
				t.Fatal(err)
			}
			fresh, err := Open(r.Dir())
			if err != nil {
				if name != ManifestFile {
					t.Errorf("byte %d of %s: %v", i, name, err)
				}
				continue // the error names the manifest
			}
			v, err := fresh.Verify(key.Public())
			if err != nil {
				t.Fatalf("byte %d of %s: %v", i, name, err)
			}
			if !slices.ContainsFunc(v.Problems, func(p Problem) bool { return p.File == name }) {
				t.Errorf("byte %d of %s (%q to %q) was not found: %v", i, name, content[i], changed[i], v.Problems)
			}
		}
		if err := os.WriteFile(r.path(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVerifyFindsWhatIsMissingAndAdded(t *testing.T) {
	r, key := sealed(t)
	if err := os.Remove(r.path("decisions.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.path("report.html"), []byte("fine!"), 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := r.Verify(key.Public())
	if err != nil || len(v.Problems) != 2 {
		t.Fatalf("%+v, %v", v, err)
	}
	if v.Problems[0].String() != "decisions.json: it is missing" || v.Problems[1].String() != "report.html: it was added after the run was signed" {
		t.Error(v.Problems)
	}
}

// TestVerifySignedAgain is about one who changes a run and signs it with a key of their own.
func TestVerifySignedAgain(t *testing.T) {
	r, key := sealed(t)
	if err := r.Put("decisions.json", map[string]string{"outcome": "inadequate"}); err != nil {
		t.Fatal(err)
	}
	if err := r.Seal(newKey(t), TestResult{Result: "PASSED"}); err != nil {
		t.Fatal(err)
	}
	v, err := r.Verify(key.Public())
	if err != nil || v.Trusted {
		t.Fatalf("a stranger's signature is trusted: %+v, %v", v, err)
	}
}

func TestUnsignedRun(t *testing.T) {
	if _, err := newRun(t).Verify(); err == nil || !strings.Contains(err.Error(), "is not signed") {
		t.Error(err)
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is not a run folder") {
		t.Error(err)
	}
}

func TestNamesStayInTheFolder(t *testing.T) {
	r := newRun(t)
	if err := r.Write("../../outside", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if !r.Has("outside") {
		t.Error("a name left the folder")
	}
}

func FuzzRecords(f *testing.F) {
	f.Add(pack("{\"Unit\":1,\"Success\":true}\n{\"Unit\":2}\n"))
	f.Add([]byte("\x1f\x8b"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, packed []byte) {
		if _, err := decodeRecords[record](packed); err != nil && err.Error() == "" {
			t.Error("an error that says nothing")
		}
	})
}

// TestKilledWhileBeginning is about a process that died before its manifest had its name.
func TestKilledWhileBeginning(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, ManifestFile+".1"+partial)
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Create(dir, manifest)
	if err != nil {
		t.Fatal(err)
	}
	if names, err := r.Names(""); err != nil || !slices.Equal(names, []string{ManifestFile}) {
		t.Errorf("%v, %v", names, err)
	}
}

func TestInspectNamesADamagedManifest(t *testing.T) {
	r, key := sealed(t)
	for name, text := range map[string]string{"no JSON": "{", "empty": "", "another layout": `{"schema":"assay-run/9"}`} {
		if err := os.WriteFile(r.path(ManifestFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := Inspect(r.Dir(), key.Public())
		if err != nil || !slices.ContainsFunc(v.Problems, func(p Problem) bool { return p.File == ManifestFile }) {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	if _, err := Inspect(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is not a run folder") {
		t.Error(err)
	}
}
