package formats

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"assay/internal/scan"
	"assay/internal/scan/corpus"
)

// bomb is 10 MB that unpack to 10 GB: a gzip file of many members.
func bomb(t *testing.T) []byte {
	var member bytes.Buffer
	w, err := gzip.NewWriterLevel(&member, 9)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.Repeat(member.Bytes(), 10<<10)
}

// largeTar is a tar archive in gzip with an array of 200 MB, then what is given.
func largeTar(t *testing.T, name string, then []byte) string {
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	const size = 200 << 20
	header := []byte(fmt.Sprintf("\x93NUMPY\x01\x00\x76\x00%-117s\n", fmt.Sprintf("{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }", size)))
	add := func(name string, size int64, content io.Reader) {
		err := w.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600})
		if err == nil {
			_, err = io.CopyN(w, content, size)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add("a.npy", int64(len(header))+size, io.MultiReader(bytes.NewReader(header), rand.NewChaCha8([32]byte{})))
	add("b", int64(len(then)), bytes.NewReader(then))
	for _, c := range []io.Closer{w, z, f} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// Four workers together stay within 256 MiB, whatever they are given, and what is too large
// to be held is read all the same.
func TestBounds(t *testing.T) {
	if testing.Short() {
		t.Skip("it unpacks some gigabytes")
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(200 << 20)) // as the command does
	want := map[string]scan.Status{}
	var paths []string
	give := func(path string, status scan.Status) {
		paths, want[path] = append(paths, path), status
	}
	give(largeTar(t, "clean.tar.gz", corpus.HarmlessPickle()), scan.Clean)
	give(largeTar(t, "evil.tar.gz", corpus.Pickle()), scan.Found)
	root := t.TempDir()
	for name, c := range map[string]struct {
		data   []byte
		status scan.Status
	}{
		"bomb.gz": {bomb(t), scan.Undecided}, "nested 1": {corpus.NestedLists(1_000_000), scan.Clean}, "nested 2": {corpus.NestedLists(1_000_000), scan.Clean}, "nested 3": {corpus.NestedLists(1_000_000), scan.Clean},
		"nested.json": {[]byte(`{"a":` + string(bytes.Repeat([]byte("["), 1_000_000))), scan.Undecided},
	} {
		path := filepath.Join(root, name)
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		give(path, c.status)
	}
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	before, peak := stats.HeapAlloc, uint64(0)
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			runtime.ReadMemStats(&stats)
			peak = max(peak, stats.HeapAlloc)
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	results, err := (&scan.Runner{Scanners: All(), Workers: 4}).Paths(t.Context(), paths)
	close(done)
	<-stopped
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Status != want[r.Path] {
			t.Errorf("%s is %s, want %s: %q", r.Path, r.Status, want[r.Path], r.Findings)
		}
	}
	used := int64(peak) - int64(before)
	t.Logf("at most %d MiB", used>>20)
	if used > 256<<20 {
		t.Errorf("they take %d MiB", used>>20)
	}
}
