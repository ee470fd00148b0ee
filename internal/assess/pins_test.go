package assess

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPins(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b *bench)
		want   []string
	}{
		"nothing":  {func(*bench) {}, nil},
		"tampered": {func(b *bench) { b.write("hardened.onnx", "other") }, []string{"hardened.onnx: the model hardened-2 is not the one that was pinned"}},
		"swapped":  {func(b *bench) { b.write("hardened.onnx", "plain.onnx") }, []string{"hardened.onnx: the model hardened-2 is not the one that was pinned: it is the model plain-60 (plain.onnx)"}},
		"data":     {func(b *bench) { b.write("test.csv", "") }, []string{"test.csv: the data test is not"}},
		"renamed": {func(b *bench) {
			b.write("assay.yaml", strings.Replace(twoModels, "file: test.csv", "file: other.csv", 1))
		}, []string{"other.csv: the data test was test.csv when it was pinned"}},
		"added": {func(b *bench) {
			b.write("assay.yaml", strings.Replace(twoModels, "data:\n", "data:\n  - {name: more, file: other.csv}\n", 1))
		}, []string{"other.csv: the data more is not pinned: it was added"}},
		"removed": {func(b *bench) {
			b.write("assay.yaml", strings.Replace(strings.Replace(twoModels, "name: test, ", "name: best, ", 1), "data: test", "data: best", 2))
		}, []string{"test.csv: the data best is not pinned: it was added", "test.csv: the data test is pinned, and the description has it no more"}},
	} {
		b := newBench(t, twoModels)
		path := filepath.Join(b.folder, "assay.yaml")
		l, err := OpenLock(LockOf(path))
		if err != nil {
			t.Fatal(err)
		}
		changed, err := l.Pin(b.system())
		if err != nil || len(changed) != 3 {
			t.Fatalf("%v, %v", changed, err)
		}
		if err := l.Write(LockOf(path)); err != nil {
			t.Fatal(err)
		}
		c.change(b)
		problems := l.CheckPins(b.system())
		if len(problems) != len(c.want) {
			t.Fatalf("%s: %v", name, problems)
		}
		for i, p := range problems {
			if !strings.HasPrefix(p.String(), c.want[i]) {
				t.Errorf("%s: %s", name, p)
			}
		}
		if err := RefuseOthers(path, b.system()); (err != nil) != (len(c.want) > 0) || err != nil && !strings.Contains(err.Error(), "nothing is opened") {
			t.Errorf("%s: %v", name, err)
		}
		b.finished() // a lock with pins serves criteria as well, and keeps the pins
		if again, err := OpenLock(LockOf(path)); err != nil || len(again.Artefacts) != 3 || len(again.Criteria) != 2 {
			t.Errorf("%s: %+v, %v", name, again, err)
		}
	}
}

func TestNoPins(t *testing.T) {
	b := newBench(t, twoModels)
	s := b.system()
	if err := RefuseOthers(filepath.Join(b.folder, "assay.yaml"), s); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(b.folder, "test.csv")); err != nil {
		t.Fatal(err)
	}
	l := &Lock{}
	if _, err := l.Pin(s); err == nil {
		t.Error("a file that is not there was pinned")
	}
}
