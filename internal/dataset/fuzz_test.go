package dataset

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
)

// fuzz reads whatever data it is given as a file of the name (or in a folder of
// images). Bad data end in an error; data that are read satisfy what a Dataset
// promises. Neither takes memory or time that the data do not bear out.
func fuzz(f *testing.F, name string) {
	dir := f.TempDir()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.Fatal(err)
	}
	if filepath.Dir(path) == dir {
		dir = path
	} else {
		dir = filepath.Dir(filepath.Dir(path))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for _, o := range []Options{{BadRecords: 3}, {Unlabelled: true, BadRecords: 1 << 20}} {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			o.MaxBytes = 16 << 20
			d, err := Load(ctx, dir, o)
			if ctx.Err() != nil {
				t.Error("reading takes too long")
			}
			cancel()
			if err == nil {
				sound(t, d)
			}
		}
		if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 1<<30 {
			t.Errorf("%d bytes take %d bytes to read", len(data), after.TotalAlloc-before.TotalAlloc)
		}
	})
}

// sound checks what holds for every Dataset.
func sound(t *testing.T, d *Dataset) {
	t.Helper()
	if err := d.Schema.Validate(); err != nil || !d.Schema.Complete {
		t.Fatalf("the schema is incomplete or refused: %v", err)
	}
	width := d.Schema.Width()
	if len(d.X) != d.Len()*width || len(d.Schema.Columns()) != width || d.Y != nil && len(d.Y) != d.Len() {
		t.Fatalf("%d numbers and %d labels for %d records of %d numbers", len(d.X), len(d.Y), d.Len(), width)
	}
	for _, v := range d.X {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			t.Fatalf("a value is %v", v)
		}
	}
	for _, y := range d.Y {
		if y < 0 || int(y) >= len(d.Schema.Label.Classes) {
			t.Fatalf("a label is %d of %d classes", y, len(d.Schema.Label.Classes))
		}
	}
	for _, g := range d.Schema.Groups() {
		for i := range d.Len() {
			sum := float32(0)
			for _, v := range d.Record(i)[g.Start:g.End] {
				sum += v
			}
			if sum != 1 {
				t.Fatalf("the group %v of record %d adds up to %v", g, i, sum)
			}
		}
	}
	if d.Len() > 0 {
		if _, err := d.Schema.Decode(d.Record(d.Len() - 1)); err != nil {
			t.Fatal(err)
		}
	}
}

func seeds(f *testing.F, files ...string) {
	f.Helper()
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte(people))
	f.Add([]byte("1;2;3\n4;5;6\n"))
	f.Add([]byte("a\tb\n\"x\ny\"\t\"\"\"\"\n"))
	f.Add([]byte("a,label\n1e39,x\nNaN,y\n,\n\"\n"))
	f.Add(compressed(f, []byte(people)))
	fuzz(f, "data")
}

func FuzzJSONL(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":[1,{"c":true}],"label":"x"}` + "\n" + `{"a":2,"b":[1,{"c":false}],"label":null}` + "\n"))
	f.Add([]byte(`{"a":1e999}` + "\n{}\n[]\n"))
	fuzz(f, "data")
}

func FuzzNPY(f *testing.F) {
	seeds(f, "half.npy", "bigendian.npy", "objects.npy")
	f.Add(npy(npyHeader("<U2", "2, 1"), make([]byte, 16)))
	f.Add(npy("{'descr': '>f8', 'fortran_order': True, 'shape': (2, 2, 2), }", make([]byte, 64)))
	fuzz(f, "data")
}

func FuzzNPZ(f *testing.F) {
	seeds(f, "fortran.npz", "nhwc.npz")
	fuzz(f, "data")
}

func FuzzIDX(f *testing.F) {
	f.Add(idx([]byte{1, 2, 3, 4}, 2, 2))
	f.Add(idx([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 2, 2, 2))
	f.Add(compressed(f, idx(make([]byte, 100), 100, 1)))
	f.Add(append([]byte{0, 0, 0x0d, 2, 0, 0, 0, 1, 0, 0, 0, 1}, 0x3f, 0x80, 0, 0))
	fuzz(f, "data")
}

func FuzzParquet(f *testing.F) {
	for _, codec := range []compress.Codec{&parquet.Uncompressed, &parquet.Snappy, &parquet.Zstd, &parquet.Lz4Raw} {
		f.Add(parquetFile(f, crowd(4), parquet.Compression(codec)))
	}
	f.Add(parquetFile(f, slices.Repeat([]encoded{{A: 1, C: "x", P: "y", Q: []byte("3")}, {A: 2, Y: 1}}, 3)))
	fuzz(f, "data")
}

func FuzzImages(f *testing.F) {
	f.Add(picture(f, 3, 2, color.White))
	f.Add(photo(f, image.NewGray(image.Rect(0, 0, 9, 9))))
	f.Add(photo(f, image.NewRGBA(image.Rect(0, 0, 9, 9))))
	fuzz(f, "data/class/image")
}

func FuzzSchema(f *testing.F) {
	f.Add([]byte("features:\n  - {name: age, min: 0, max: 120, immutable: true}\ndrop: [id]\nshape: []\nlabel: {name: y, classes: [a, b]}\n"))
	f.Add([]byte(`{"shape":[1,8,8],"features":[{"name":"p","type":"integer","observed":{"min":0,"max":1}}],"complete":true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeSchema(data)
		if err != nil {
			return
		}
		if n := len(s.Columns()); s.Complete && n != s.Width() {
			t.Errorf("%d columns for a width of %d", n, s.Width())
		}
		text, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeSchema(text); err != nil {
			t.Errorf("what is written cannot be read: %v\n%s", err, text)
		}
	})
}

func FuzzCopyLines(f *testing.F) {
	f.Add([]byte("a;\"the name\";class\r\n1;\"x;\n y\";p\r\n\r\n2;\"said \"\"so\"\"\";q"), int64(2))
	f.Add([]byte("1\t2\n3\"\t4\n"), int64(1))
	f.Fuzz(func(t *testing.T, data []byte, number int64) {
		path := filepath.Join(t.TempDir(), "table.csv")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		_ = CopyLines(context.Background(), path, &Schema{}, []int64{number}, &out)
		for line := range bytes.Lines(out.Bytes()) {
			if !bytes.Contains(data, bytes.TrimRight(line, "\r\n")) && !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
				t.Errorf("the line %q is not in the file", line)
			}
		}
	})
}
