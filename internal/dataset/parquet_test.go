package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
)

// The files are written by parquet-go, an implementation that shares no code with the reader.

type person struct {
	Age    int32    `parquet:"age"`
	Income *float64 `parquet:"income,optional"`
	City   string   `parquet:"city,dict"`
	Member bool     `parquet:"member"`
	Home   home     `parquet:"home"`
	Label  string   `parquet:"label,dict"`
}

type home struct {
	Rooms uint32  `parquet:"rooms"`
	Area  float32 `parquet:"area"`
}

func crowd(n int) []person {
	out := make([]person, n)
	for i := range out {
		income := float64(i) / 8
		out[i] = person{Age: int32(i%90) - 5, City: []string{"Bonn", "Köln", "Ulm"}[i%3], Member: i%2 == 0,
			Home: home{uint32(i % 7), float32(i) / 2}, Label: []string{"no", "yes"}[i%5%2]}
		if i%10 != 3 {
			out[i].Income = &income
		}
	}
	return out
}

func parquetFile[T any](t testing.TB, rows []T, options ...parquet.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, options...)
	for i, r := range rows {
		if _, err := w.Write([]T{r}); err != nil {
			t.Fatal(err)
		}
		if i == len(rows)/2 {
			if err := w.Flush(); err != nil { // a second row group
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestParquet(t *testing.T) {
	rows := crowd(1000)
	for _, codec := range []compress.Codec{&parquet.Uncompressed, &parquet.Snappy, &parquet.Gzip, &parquet.Zstd, &parquet.Lz4Raw, &parquet.Brotli} {
		for _, version := range []int{1, 2} {
			t.Run(fmt.Sprint(codec, version), func(t *testing.T) {
				data := parquetFile(t, rows, parquet.Compression(codec), parquet.DataPageVersion(version), parquet.PageBufferSize(1000))
				d := load(t, write(t, "people.parquet", data), Options{Schema: &Schema{Features: []Feature{{Name: "income", Missing: "-1"}}}})
				if names := featureNames(d.Schema.Features); !slices.Equal(names, []string{"age", "income", "city", "member", "home.rooms", "home.area"}) {
					t.Fatalf("features %q", names)
				}
				if d.Len() != len(rows) {
					t.Fatalf("%d records, want %d", d.Len(), len(rows))
				}
				for i, p := range rows {
					want := make([]float32, 8)
					want[0], want[1], want[2+i%3] = float32(p.Age), -1, 1
					if p.Income != nil {
						want[1] = float32(*p.Income)
					}
					if p.Member {
						want[5] = 1
					}
					want[6], want[7] = float32(p.Home.Rooms), p.Home.Area
					if !slices.Equal(d.Record(i), want) || d.Schema.Label.Classes[d.Y[i]] != p.Label {
						t.Fatalf("record %d is %v of class %d, want %v of %q", i, d.Record(i), d.Y[i], want, p.Label)
					}
				}
			})
		}
	}
}

type encoded struct {
	A int32   `parquet:"a,delta"`
	B int64   `parquet:"b,delta"`
	C string  `parquet:"c,delta"`
	P string  `parquet:"p,delta"`
	Q []byte  `parquet:"q,delta"`
	D float64 `parquet:"d,split"`
	E float32 `parquet:"e,split"`
	F uint64  `parquet:"f"`
	G int64   `parquet:"g,decimal(2:10)"`
	H int64   `parquet:"h,dict"`
	Y int32   `parquet:"y"`
}

func TestParquetEncodings(t *testing.T) {
	var rows []encoded
	for i := range 700 {
		rows = append(rows, encoded{A: int32(i * i % 1009), B: int64(i)<<12 - 99, C: []string{"", "a", "bcd"}[i%3] + "x", P: []string{"pre", "prefix"}[i%2], Q: []byte{byte('1' + i%3)},
			D: float64(i) / 3, E: float32(i) / 7, F: uint64(i), G: int64(i), H: int64(i % 11), Y: int32(i % 2)})
	}
	data := parquetFile(t, rows)
	o := Options{Schema: &Schema{Features: []Feature{{Name: "h", Type: Real}, {Name: "c", Type: Categorical}}}}
	path := write(t, "e.parquet", data)
	d, err := Load(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		want := []float32{float32(r.A), float32(r.B), 0, 0, 0, float32(1 - i%2), float32(i % 2), float32(1 + i%3), float32(r.D), r.E, float32(r.F), float32(float64(r.G) / 100), float32(r.H)}
		want[2+slices.Index([]string{"ax", "bcdx", "x"}, r.C)] = 1
		if !slices.Equal(d.Record(i), want) {
			t.Fatalf("record %d is %v, want %v", i, d.Record(i), want)
		}
	}
}

func TestParquetUnsupportedColumns(t *testing.T) {
	type row struct {
		A    int32   `parquet:"a"`
		List []int32 `parquet:"list,list"`
		Y    int32   `parquet:"y"`
	}
	path := write(t, "list.parquet", parquetFile(t, []row{{1, []int32{1, 2}, 0}, {2, nil, 1}, {3, []int32{3}, 1}}))
	_, err := Load(t.Context(), path, Options{})
	fails(t, err, "list.list.element", "it is a list", "drop")
	d := load(t, path, Options{Schema: &Schema{Drop: []string{"list.list.element"}}})
	if !slices.Equal(d.X, []float32{1, 2, 3}) {
		t.Errorf("values %v", d.X)
	}
}

// Every byte of a file changed: an error or other values, but no panic, and no
// memory or time that the file does not bear out.
func TestParquetDamaged(t *testing.T) {
	for _, codec := range []compress.Codec{&parquet.Uncompressed, &parquet.Lz4Raw} {
		data := parquetFile(t, crowd(20), parquet.Compression(codec))
		path := write(t, "damaged.parquet", data)
		failed := 0
		for i := range data {
			damaged := slices.Clone(data)
			damaged[i] ^= []byte{0xff, 0x80, 0x01}[i%3]
			if err := os.WriteFile(path, damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(t.Context(), path, Options{BadRecords: 1000}); err != nil {
				failed++
			}
		}
		if failed == 0 {
			t.Error("no damage was noticed")
		}
	}
}

func TestHostileParquet(t *testing.T) {
	footer := func(content string) []byte {
		data := append([]byte("PAR1"), content...)
		data = binary.LittleEndian.AppendUint32(data, uint32(len(content)))
		return append(data, "PAR1"...)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"cut short":                    {[]byte("PAR1PAR1"), "cut short"},
		"a footer beyond the file":     {append([]byte("PAR1....\xff\xff\xff\x7f"), "PAR1"...), "not a footer"},
		"a list of 2^31 elements":      {footer("\x15\x04\x19\xfc\xff\xff\xff\xff\x07\x00"), "metadata are damaged"},
		"a schema that nests for ever": {footer("\x15\x04" + strings.Repeat("\x1c", 100)), "metadata are damaged"},
		"no schema":                    {footer("\x15\x04\x00"), "metadata are damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(t.Context(), write(t, "data", c.data), Options{})
			fails(t, err, c.want)
		})
	}
}

// An LZ4 page that is damaged sends parquet-go into doubling its buffer until
// memory ends; a Zstandard page may hold far more than it claims. Here both are errors.
func TestParquetPagesAreBounded(t *testing.T) {
	u := &unpacker{}
	defer u.close()
	zeros := make([]byte, 1<<20)
	for _, codec := range []compress.Codec{&parquet.Snappy, &parquet.Gzip, &parquet.Zstd, &parquet.Lz4Raw, &parquet.Brotli} {
		packed, err := codec.Encode(nil, zeros)
		if err != nil {
			t.Fatal(err)
		}
		id := int64(codec.CompressionCodec())
		if got, err := u.unpack(id, packed, 1<<20); err != nil || !bytes.Equal(got, zeros) {
			t.Errorf("%v: %d bytes (%v)", codec, len(got), err)
		}
		for _, size := range []int64{0, 100, 1<<20 - 1, 1<<20 + 1} {
			if _, err := u.unpack(id, packed, size); err == nil {
				t.Errorf("%v: a page that claims %d bytes and has %d is not refused", codec, size, 1<<20)
			}
		}
		if _, err := u.unpack(id, packed[:len(packed)/2], 1<<20); err == nil {
			t.Errorf("%v: a page that is cut short is not refused", codec)
		}
	}
}
