package scan

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
)

// packed is a container of one entry, which must be unpacked and is larger than is held.
func packed(r *Runner, content []byte) *File {
	w := &work{runner: r, memory: r.Limits.memory()}
	w.unpacked.Store(1 << 40)
	root := &File{Path: "test", size: 10, at: bytes.NewReader(make([]byte, 10)), work: w}
	return root.Stream("entry", -1, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
}

func TestRewound(t *testing.T) {
	content := make([]byte, 300_001)
	source := rand.NewChaCha8([32]byte{1})
	if _, err := source.Read(content); err != nil {
		t.Fatal(err)
	}
	f := packed(&Runner{Limits: Limits{Memory: 2 * blockBytes}}, content)
	at, size, err := f.Random(t.Context())
	if err != nil || size != int64(len(content)) || !f.again || f.InPlace(t.Context()) != nil {
		t.Fatalf("size %d, again %v, %v", size, f.again, err)
	}
	random := rand.New(source)
	for range 200 {
		from := random.IntN(len(content))
		got := make([]byte, random.IntN(100_000))
		n, err := at.ReadAt(got, int64(from))
		want := content[from:min(len(content), from+len(got))]
		if !bytes.Equal(got[:n], want) || (n < len(got)) != (err == io.EOF) {
			t.Fatalf("%d bytes at %d: %d of %d, %v", len(got), from, n, len(want), err)
		}
	}
	part := f.Section("part", 100_000, 150_000)
	r, err := part.Reader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, content[100_000:250_000]) {
		t.Fatalf("a part of %d bytes, %v", len(got), err)
	}
	if len(f.at.(*rewound).blocks) > 2 {
		t.Errorf("%d blocks are kept", len(f.at.(*rewound).blocks))
	}
}

// Reading to and fro counts towards what may be unpacked, so that it comes to an end.
func TestRewoundIsBounded(t *testing.T) {
	f := packed(&Runner{Limits: Limits{Memory: 2 * blockBytes}}, make([]byte, 10*blockBytes))
	at, size, err := f.Random(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.work.unpacked.Store(100 * blockBytes)
	for i := range 1000 {
		if _, err = at.ReadAt(make([]byte, 1), int64(i%10*7%10)*blockBytes%size); err != nil {
			break
		}
	}
	if err == nil {
		t.Error("there is no end to unpacking it again")
	}
}
