package origin

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"assay/internal/dataset"
	"assay/internal/provenance"
	"assay/internal/signing"
)

var (
	key      = signing.NewKey([32]byte{1})
	stranger = signing.NewKey([32]byte{2})
	trusted  = provenance.Trust{Keys: []signing.PublicKey{key.Public()}}
	north    = Batch{Name: "monday", Source: "north", Date: "2026-01-05", Licence: "CC-BY-4.0"}
	mixed    = Batch{Name: "tuesday", SourceColumn: "from", Date: "2026-01-06"}
)

const header = "a,b,from\n"

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// batch writes data with their manifest.
func batch(t testing.TB, dir, name, text string, b Batch) Data {
	t.Helper()
	data := Data{Path: filepath.Join(dir, name), Manifest: filepath.Join(dir, name+".manifest")}
	write(t, data.Path, text)
	sign(t, data, b, key)
	return data
}

func sign(t testing.TB, data Data, b Batch, by *signing.Key) *Manifest {
	t.Helper()
	var out bytes.Buffer
	m, err := Sign(context.Background(), data, b, provenance.Signer{Key: by}, &out)
	if err != nil {
		t.Fatal(err)
	}
	write(t, data.Manifest, out.String())
	return m
}

func verify(t testing.TB, allowed map[string]float64, batches ...Data) *Report {
	t.Helper()
	r, err := Verify(context.Background(), batches, trusted, allowed)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// rows gives lines of a table, each of another content, of sources in turn.
func rows(from, to int, sources ...string) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("%d,%d,%s\n", i, i*i, sources[i%len(sources)]))
	}
	return out
}

func TestCensus(t *testing.T) {
	dir := t.TempDir()
	monday := batch(t, dir, "monday.csv", header+strings.Join(rows(0, 30, "x"), ""), north)
	tuesday := batch(t, dir, "tuesday.csv", header+strings.Join(rows(100, 160, "south", "south", "east"), ""), mixed)
	bare := Data{Path: filepath.Join(dir, "bare.csv"), Manifest: filepath.Join(dir, "bare.csv.manifest")}
	write(t, bare.Path, header+strings.Join(rows(200, 210, "north"), ""))

	r := verify(t, nil, monday, tuesday)
	if r.Records != 90 || r.Verified != 90 || r.Wrong != 0 || len(r.Faults) != 0 || r.Batches[0].Signer != "the key "+key.Public().ID() {
		t.Fatalf("%+v", r)
	}
	got := map[string]int{}
	for _, s := range r.Shares {
		got[s.Source] = s.Records
	}
	if len(got) != 3 || got["north"] != 30 || got["south"] != 40 || got["east"] != 20 {
		t.Errorf("%v", got)
	}
	if m := r.Batches[0].Signed; m.Licence != "CC-BY-4.0" || m.Records != 30 || m.File != "monday.csv" || !slices.Equal(m.Columns, []string{"a", "b", "from"}) {
		t.Errorf("%+v", m)
	}

	// Records that nobody vouches for count among all, and are of no source.
	r = verify(t, nil, monday, bare)
	if r.Records != 40 || r.Verified != 30 || r.Wrong != 1 || r.Faults[0].Kind != Unsigned || r.Shares[0].Source != "" || r.Shares[0].Part != 0.25 {
		t.Errorf("%+v", r)
	}
}

func TestSourcesAreHeldToTheList(t *testing.T) {
	dir := t.TempDir()
	monday := batch(t, dir, "monday.csv", header+strings.Join(rows(0, 30, "x"), ""), north)
	tuesday := batch(t, dir, "tuesday.csv", header+strings.Join(rows(99, 129, "south", "south", "east"), ""), mixed)
	for _, c := range []struct {
		allowed map[string]float64
		kinds   map[Kind]int
	}{
		{map[string]float64{"north": 0.5, "south": 0.5, "east": 0.5}, map[Kind]int{}},
		{map[string]float64{"north": 0.49, "south": 0.5, "east": 0.5}, map[Kind]int{Share: 1}},
		{map[string]float64{"north": 1, "south": 1}, map[Kind]int{Stranger: 10}},
		{map[string]float64{"south": 1, "east": 1}, map[Kind]int{Stranger: 1}},
	} {
		r := verify(t, c.allowed, monday, tuesday)
		kinds := map[Kind]int{}
		for _, f := range r.Faults {
			kinds[f.Kind]++
		}
		if fmt.Sprint(kinds) != fmt.Sprint(c.kinds) || r.Verified != 60 {
			t.Errorf("%v: %v, %d verified", c.allowed, kinds, r.Verified)
		}
	}
	r := verify(t, map[string]float64{"south": 1}, tuesday)
	if f := r.Faults[0]; f.File != tuesday.Path || f.Record != 3 || f.Line != 4 {
		t.Errorf("%+v", f)
	}
}

func TestWhatIsWrongWithABatch(t *testing.T) {
	text := header + strings.Join(rows(0, 30, "x"), "")
	for name, c := range map[string]struct {
		change func(d Data) []Data
		kind   Kind
		detail string
	}{
		"a stranger's": {func(d Data) []Data { sign(t, d, north, stranger); return []Data{d} }, Unsigned, "not by a key that is trusted"},
		"none":         {func(d Data) []Data { os.Remove(d.Manifest); return []Data{d} }, Unsigned, "there is no manifest"},
		"cut": {func(d Data) []Data {
			edit(t, d.Manifest, func(b []byte) []byte { return b[:len(b)-32] })
			return []Data{d}
		}, Unsigned, "the digests of 29"},
		"longer": {func(d Data) []Data {
			edit(t, d.Manifest, func(b []byte) []byte { return append(b, 0) })
			return []Data{d}
		}, Unsigned, "something was added"},
		"a digest changed": {func(d Data) []Data {
			edit(t, d.Manifest, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
			return []Data{d}
		}, Unsigned, "not those that were signed"},
		"the line changed": {func(d Data) []Data {
			edit(t, d.Manifest, func(b []byte) []byte { b[bytes.Index(b, []byte(`"payload":"`))+40] ^= 1; return b })
			return []Data{d}
		}, Unsigned, "it was changed"},
		"no manifest at all": {func(d Data) []Data { write(t, d.Manifest, "hello\n"); return []Data{d} }, Unsigned, "it is no signature"},
		"a signature of files": {func(d Data) []Data {
			text, _, err := provenance.Sign(context.Background(), d.Path, d.Manifest, nil, provenance.Signer{Key: key}, provenance.Options{})
			if err != nil {
				t.Fatal(err)
			}
			write(t, d.Manifest, strings.ReplaceAll(string(text), "\n", "")+"\n")
			return []Data{d}
		}, Unsigned, "no provenance manifest"},
		"other columns": {func(d Data) []Data { write(t, d.Path, strings.Replace(text, "a,b", "b,a", 1)); return []Data{d} }, Altered, "its columns are"},
		"twice":         {func(d Data) []Data { return []Data{d, d} }, Altered, "once more"},
		"renamed": {func(d Data) []Data {
			other := Data{Path: d.Path + ".old", Manifest: d.Manifest}
			if err := os.Rename(d.Path, other.Path); err != nil {
				t.Fatal(err)
			}
			return []Data{other}
		}, Altered, "that of d.csv"},
	} {
		t.Run(name, func(t *testing.T) {
			r := verify(t, nil, c.change(batch(t, t.TempDir(), "d.csv", text, north))...)
			last := Fault{}
			if len(r.Faults) > 0 {
				last = r.Faults[len(r.Faults)-1]
			}
			if last.Kind != c.kind || !strings.Contains(last.Detail, c.detail) || r.Records-r.Verified != 30 {
				t.Errorf("%d of %d verified, %v", r.Verified, r.Records, r.Faults)
			}
		})
	}
}

func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(change(text)))
}

func TestRecordsThatPart(t *testing.T) {
	dir := t.TempDir()
	signed := rows(0, 5000, "x")
	data := batch(t, dir, "d.csv", header+strings.Join(signed, ""), north)
	for name, c := range map[string]struct {
		now  []string
		want []string // kind and number of each fault
	}{
		"changed":      {replaced(signed, 9, 10, "7,7,y\n"), []string{"changed 10"}},
		"added":        {slices.Insert(slices.Clone(signed), 3000, "7,7,y\n", "8,8,y\n"), []string{"added 3001", "added 3002"}},
		"added before": {slices.Insert(slices.Clone(signed), 0, "7,7,y\n"), []string{"added 1"}},
		"added after":  {append(slices.Clone(signed), "7,7,y\n"), []string{"added 5001"}},
		"removed":      {slices.Delete(slices.Clone(signed), 41, 43), []string{"removed 42", "removed 43"}},
		"removed last": {signed[:4999], []string{"removed 5000"}},
		"unreadable":   {replaced(signed, 9, 10, "7\n"), []string{"changed 10"}},
		"copied":       {slices.Insert(slices.Clone(signed), 100, signed[5]), []string{"added 101"}},
		"several": {slices.Delete(replaced(replaced(signed, 4000, 4001, "7,7,y\n"), 2000, 2001, "7,7,y\n"), 100, 101),
			[]string{"removed 101", "changed 2000", "changed 4000"}},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, data.Path, header+strings.Join(c.now, ""))
			r := verify(t, nil, data)
			var got []string
			for _, f := range r.Faults {
				if f.Kind != Altered {
					got = append(got, fmt.Sprintf("%s %d", f.Kind, f.Record))
				}
			}
			removed := strings.Count(fmt.Sprint(c.want), "removed")
			if !slices.Equal(got, c.want) || r.Records != int64(len(c.now)) || r.Verified != int64(len(c.now)-len(c.want)+removed) || r.Faults[0].Kind != Altered {
				t.Errorf("%v, %d of %d verified", got, r.Verified, r.Records)
			}
		})
	}

	// Far beyond what is looked ahead everything is accounted for all the same, and faults are counted beyond those that are named.
	write(t, data.Path, header+strings.Join(signed[3000:], ""))
	r := verify(t, nil, data)
	if r.Records != 2000 || r.Verified == 2000 || len(r.Faults) != maxFaults || r.Wrong < maxFaults {
		t.Errorf("%d of %d verified, %d faults of %d", r.Verified, r.Records, len(r.Faults), r.Wrong)
	}
}

func replaced(list []string, i, j int, by ...string) []string {
	return slices.Replace(slices.Clone(list), i, j, by...)
}

// However records are shuffled, changed and mixed, those that are verified are an ordered part of what was signed, and every record is
// either verified or a fault.
func TestNoOtherRecordIsVerified(t *testing.T) {
	dir := t.TempDir()
	signed := rows(0, 300, "x")
	data := batch(t, dir, "d.csv", header+strings.Join(signed, ""), north)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var now []string
		own := 0 // a bound of what can be verified: the longest common subsequence is at most what is of the signed
		for i := range signed {
			switch rng.IntN(8) {
			case 0:
			case 1:
				now = append(now, fmt.Sprintf("%d,-1,x\n", rng.IntN(1000)))
			case 2:
				now = append(now, signed[rng.IntN(len(signed))])
				own++
			default:
				now = append(now, signed[i])
				own++
			}
		}
		write(t, data.Path, header+strings.Join(now, ""))
		r := verify(t, nil, data)
		bad := int64(0)
		for _, f := range r.Faults {
			if f.Kind == Changed || f.Kind == Added {
				bad++
			}
		}
		if r.Records != int64(len(now)) || r.Verified+bad != r.Records || r.Verified > int64(own) || r.Verified > int64(common(signed, now)) {
			t.Fatalf("%d of %d verified, %d are not, %d are of what was signed and %d in its order", r.Verified, r.Records, bad, own, common(signed, now))
		}
	}
}

// common is the length of the longest common subsequence.
func common(a, b []string) int {
	best := make([]int, len(b)+1)
	for _, x := range a {
		diagonal := 0
		for j, y := range b {
			above := best[j+1]
			if best[j+1] = max(above, best[j]); x == y {
				best[j+1] = diagonal + 1
			}
			diagonal = above
		}
	}
	return best[len(b)]
}

func TestArraysAndImages(t *testing.T) {
	dir := t.TempDir()
	text, err := os.ReadFile("../dataset/testdata/nhwc.npz")
	if err != nil {
		t.Fatal(err)
	}
	data := batch(t, dir, "d.npz", string(text), north)
	if r := verify(t, nil, data); r.Records != 2 || r.Verified != 2 || r.Wrong != 0 {
		t.Errorf("%+v", r)
	}
	if _, err := Sign(context.Background(), data, mixed, provenance.Signer{Key: key}, &bytes.Buffer{}); err == nil {
		t.Error("arrays have a column of sources")
	}

	folder := Data{Path: filepath.Join(dir, "images"), Manifest: filepath.Join(dir, "images.manifest")}
	picture := func(name string, shade uint8) {
		g := image.NewGray(image.Rect(0, 0, 2, 2))
		g.Pix[0] = shade
		var out bytes.Buffer
		if err := png.Encode(&out, g); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(folder.Path, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(folder.Path, name), out.String())
	}
	for i, name := range []string{"cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"} {
		picture(name, uint8(i))
	}
	if m := sign(t, folder, north, key); m.Files != 4 || m.Records != 4 || m.File != "images" {
		t.Fatalf("%+v", m)
	}
	if r := verify(t, nil, folder); r.Verified != 4 || r.Wrong != 0 {
		t.Errorf("%+v", r)
	}
	picture("dog/1.png", 9)
	picture("dog/3.png", 10)
	r := verify(t, nil, folder)
	if r.Records != 5 || r.Verified != 3 || r.Wrong != 3 || !strings.HasSuffix(r.Faults[1].File, filepath.Join("dog", "1.png")) || r.Faults[2].Kind != Added {
		t.Errorf("%d of %d verified, %v", r.Verified, r.Records, r.Faults)
	}

	// Labels in a file of their own are part of what is signed.
	values := make([]byte, 16+2)
	copy(values, []byte{0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 7, 8})
	idx := Data{Path: filepath.Join(dir, "x.idx"), LabelFile: filepath.Join(dir, "y.idx"), Manifest: filepath.Join(dir, "x.manifest")}
	write(t, idx.Path, string(values))
	write(t, idx.LabelFile, "\x00\x00\x08\x01\x00\x00\x00\x02\x00\x01")
	if m := sign(t, idx, north, key); m.Files != 2 {
		t.Errorf("%+v", m)
	}
	write(t, idx.LabelFile, "\x00\x00\x08\x01\x00\x00\x00\x02\x00\x02")
	if r := verify(t, nil, idx); r.Verified != 1 || r.Wrong != 2 || r.Faults[1].Record != 2 {
		t.Errorf("%d of %d verified, %v", r.Verified, r.Records, r.Faults)
	}
}

func TestNobodyVouchesForTheseRecords(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		b    Batch
		want string
	}{
		"unreadable":     {header + "1,2,x\n1,2\n", north, "line 3"},
		"without source": {header + "1,2,x\n1,2,\n", mixed, `line 3, column "from": it has no source`},
		"no column":      {"a,b\n1,2\n", mixed, "no column"},
		"no date":        {header + "1,2,x\n", Batch{Name: "a", Source: "north", Date: "5 January"}, "2026-01-31"},
		"two origins":    {header + "1,2,x\n", Batch{Name: "a", Source: "north", SourceColumn: "from", Date: "2026-01-05"}, "give one of them"},
		"a hostile name": {header + "1,2,x\n", Batch{Name: "a", Source: "north\x1b[2J", Date: "2026-01-05"}, "no plain text"},
	} {
		path := filepath.Join(t.TempDir(), "d.csv")
		write(t, path, c.text)
		_, err := Sign(context.Background(), Data{Path: path}, c.b, provenance.Signer{Key: key}, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCancelled(t *testing.T) {
	data := batch(t, t.TempDir(), "d.csv", header+strings.Join(rows(0, 30, "x"), ""), north)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := Verify(ctx, []Data{data}, trusted, nil); err == nil {
		t.Error("a context that has ended is no error")
	}
	if _, err := Sign(ctx, data, north, provenance.Signer{Key: key}, &bytes.Buffer{}); err == nil {
		t.Error("a context that has ended is no error")
	}
}

// Whatever is signed and follows, nothing panics, and a record counts as verified only if its digest is there.
func FuzzManifest(f *testing.F) {
	dir := f.TempDir()
	data := batch(f, dir, "d.csv", header+strings.Join(rows(0, 3, "x"), ""), mixed)
	whole, err := os.ReadFile(data.Manifest)
	if err != nil {
		f.Fatal(err)
	}
	end := bytes.IndexByte(whole, '\n')
	payload, _, err := provenance.OpenStatement(whole[:end], trusted)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload, whole[end+1:])
	f.Add(bytes.Replace(payload, []byte(`"records":3`), []byte(`"records":281474976710656`), 1), whole[end+1:])
	f.Add(bytes.Replace(payload, []byte("from"), []byte("nope"), 1), whole[end+1:end+33])
	f.Add([]byte("{}"), []byte{})
	content, err := dataset.OpenContent(context.Background(), data.Path, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, payload, body []byte) {
		m, err := decode(payload)
		if err != nil {
			return
		}
		line, err := provenance.SignStatement(signing.Resource{Name: m.File, Digest: map[string]string{"sha256": m.SHA256.String()}}, PredicateType, m, provenance.Signer{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		file := slices.Concat(line, []byte("\n"), body)
		s, err := open(context.Background(), bytes.NewReader(file), int64(len(file)), trusted)
		if err != nil {
			return
		}
		v := &verifier{trusted, nil, &Report{}, map[string]int{}, map[dataset.Digest]string{}}
		c := &Census{Path: data.Path}
		same, err := v.same(context.Background(), data, s, content)
		if err != nil || !same {
			return
		}
		if err := v.records(context.Background(), c, s, content); err != nil {
			t.Fatal(err)
		}
		there := int64(0)
		for d := range slices.Chunk(whole[end+1:], 32) {
			if bytes.Contains(body, d) {
				there++
			}
		}
		if c.Verified > there || c.Records != 3 {
			t.Fatalf("%d of %d verified, and the digests of %d are there", c.Verified, c.Records, there)
		}
	})
}
