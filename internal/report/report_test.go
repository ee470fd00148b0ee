package report_test

import (
	"bytes"
	"image"
	"image/png"
	"math"
	"reflect"
	"strings"
	"testing"

	"assay"
	"assay/internal/report"
	"assay/internal/report/reporttest"
)

func TestCheck(t *testing.T) {
	for name, d := range reporttest.All() {
		if err := d.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for want, spoil := range map[string]func(d *report.Document){
		`the schema is ""`:                           func(d *report.Document) { d.Schema = "" },
		"decisions[0].estimate is NaN":               func(d *report.Document) { *d.Decisions[0].Estimate = math.NaN() },
		"decisions[0].costs[1].upper is +Inf":        func(d *report.Document) { *d.Decisions[0].Costs[1].Upper = math.Inf(1) },
		"tests[0].plots[0].at is -Inf":               func(d *report.Document) { *d.Tests[0].Plots[0].At = math.Inf(-1) },
		`decisions[1].outcome: "fine" is no`:         func(d *report.Document) { d.Decisions[1].Outcome = "fine" },
		`decisions[0].relation: "" is no relation`:   func(d *report.Document) { d.Decisions[0].Relation = "" },
		`decisions[0].sampling.rule: "all" is no`:    func(d *report.Document) { d.Decisions[0].Sampling.Rule = "all" },
		`matrix[3].state: "" is no state`:            func(d *report.Document) { d.Matrix[3].State = "" },
		`system.modality: "sound" is no modality`:    func(d *report.Document) { d.System.Modality = "sound" },
		"decisions[2].id is \"\"":                    func(d *report.Document) { d.Decisions[2].ID = "" },
		"tests[1].id is \"evasion-hardened\"":        func(d *report.Document) { d.Tests[1].ID = d.Tests[0].ID },
		"decisions[0].goal is empty":                 func(d *report.Document) { d.Decisions[0].Goal = "" },
		`decisions[0].test is "gone"`:                func(d *report.Document) { d.Decisions[0].Test = "gone" },
		`decisions has "gone"`:                       func(d *report.Document) { d.Matrix[0].Decisions = []string{"gone"} },
		`matrix[0].cell.Vulnerability: "x" is no vu`: func(d *report.Document) { d.Matrix[0].Cell.Vulnerability = "x" },
	} {
		d := reporttest.Digits()
		spoil(d)
		if err := d.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func TestResult(t *testing.T) {
	all := reporttest.Diagnosis()
	all.Decisions = append(all.Decisions, all.Decisions[0])
	closed := reporttest.Diagnosis()
	for i := range closed.Matrix {
		closed.Matrix[i].State = report.Covered
	}
	for want, d := range map[string]*report.Document{
		"Of 4 decisions, 1 is adequate, 1 is inadequate, 1 is undecided and 1 is invalid; 19 of 25 combinations of vulnerability and function are open.": reporttest.Digits(),
		"The one decision is adequate; 24 of 25 combinations of vulnerability and function are open.":                                                    reporttest.Diagnosis(),
		"All 2 decisions are adequate; 24 of 25 combinations of vulnerability and function are open.":                                                    all,
		"The one decision is adequate.":                             closed,
		"Nothing has been decided.":                                 reporttest.Empty(),
		"The evidence is void: no decision below may be relied on.": reporttest.Void(),
		"Of 125 decisions, 25 are adequate, 25 are inadequate, 25 are undecided, 25 are invalid and 25 are not applicable.": reporttest.Crowded(),
	} {
		if got := d.Result(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestFormat(t *testing.T) {
	share, time := report.Metric{Title: "rate"}, report.Metric{Unit: "ms"}
	f := func(v float64) *float64 { return &v }
	for want, got := range map[string]string{
		"8.8 %":                     share.Format(0.0875),
		"0.0 %":                     share.Format(0),
		"100.0 %":                   share.Format(1),
		"1.841 ms":                  time.Format(1.84106),
		"at most 7 %":               share.FormatLimit(assay.AtMost, 0.07),
		"at least 99.95 %":          share.FormatLimit(assay.AtLeast, 0.9995),
		"at most 5 ms":              time.FormatLimit(assay.AtMost, 5),
		"15.02 %":                   share.FormatBeside(0.1502, 0.15), // 15.0 % would look met
		"15.0 %":                    share.FormatBeside(0.15, 0.15),
		"14.9999 %":                 share.FormatBeside(0.149999, 0.15),
		"3.2 % (1.9 to 5.1 %)":      share.FormatInterval(f(0.032), f(0.019), f(0.051), 0.1),
		"no estimate":               share.FormatInterval(nil, nil, nil, 0.1),
		"3.2 %":                     share.FormatInterval(f(0.032), nil, nil, 0.1),
		"1.84 ms (1.79 to 1.91 ms)": time.FormatInterval(f(1.84), f(1.79), f(1.91), 5),
		"−77.5 points":              share.FormatChange(-0.7745),
		"+0.2 ms":                   time.FormatChange(0.2),
		"1e+302 %":                  share.Format(1e300),
		"95 %":                      report.Percent(0.95),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"µm², 8×8\n\tgrün":       "µm², 8×8\n\tgrün",
		"\x00\x1b[31m\x7f\u0085": "\ufffd\ufffd[31m\ufffd\ufffd",
		"adequate\u202e!\u2066":  "adequate\ufffd!\ufffd",
		"\xff\ufffe\U0001ffff":   "\ufffd\ufffd\ufffd",
		"שלום\u200f":             "שלום\u200f",
	} {
		if got := report.Printable(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestMapLeavesDocumentAlone(t *testing.T) {
	d, same := reporttest.Digits(), reporttest.Digits()
	c := d.Map(strings.ToUpper)
	*c.Decisions[0].Estimate, c.Tests[0].Examples[0].Image.Clean[0] = 7, 7
	if !reflect.DeepEqual(d, same) {
		t.Error("the document changed with its copy")
	}
	if c.Decisions[1].Costs == nil || c.System.Name != strings.ToUpper(d.System.Name) || c.Decisions[0].Valid[0].Name != "POSITIVE-CONTROL" {
		t.Error("the copy is not what was asked for")
	}
}

func TestPictures(t *testing.T) {
	// Red, green and blue planes of two pixels, from 0 to 16; the change is at most 2, in blue.
	clean := []float32{0, 16, 8, 0, 4, 40}
	changed := []float32{0, 16, 8, 1, 2, 40}
	p, err := report.NewPictures(clean, changed, 3, 1, 2, 0, 16)
	if err != nil {
		t.Fatal(err)
	}
	if p.Amplification != 4 {
		t.Errorf("changes are enlarged %g times, want 16/(2·2) = 4", p.Amplification)
	}
	for _, c := range []struct {
		file []byte
		want [2][3]uint32
	}{
		{p.Clean, [2][3]uint32{{0, 128, 64}, {255, 0, 255}}},
		{p.Adversarial, [2][3]uint32{{0, 128, 32}, {255, 16, 255}}},
		{p.Difference, [2][3]uint32{{128, 128, 0}, {128, 191, 128}}},
	} {
		picture := decode(t, c.file)
		for x, want := range c.want {
			r, g, b, a := picture.At(x, 0).RGBA()
			if got := [3]uint32{r >> 8, g >> 8, b >> 8}; got != want || a != 0xffff {
				t.Errorf("pixel %d is %v, want %v", x, got, want)
			}
		}
	}
	again, err := report.NewPictures(clean, changed, 3, 1, 2, 0, 16)
	if err != nil || !bytes.Equal(again.Difference, p.Difference) || !bytes.Equal(again.Clean, p.Clean) {
		t.Error("the same rows give other bytes")
	}
	same, err := report.NewPictures(clean[:4], clean[:4], 1, 2, 2, 0, 16)
	if err != nil || same.Amplification != 0 {
		t.Fatalf("without a change: %v", err)
	}
	if r, _, _, _ := decode(t, same.Difference).At(1, 1).RGBA(); r>>8 != 128 {
		t.Errorf("no change is %d, want middle grey", r>>8)
	}
}

func decode(t *testing.T, file []byte) image.Image {
	t.Helper()
	picture, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return picture
}

func TestPicturesRefuse(t *testing.T) {
	nan, four := float32(math.NaN()), make([]float32, 4)
	for name, draw := range map[string]func() (*report.Pictures, error){
		"two channels":   func() (*report.Pictures, error) { return report.NewPictures(four, four, 2, 1, 2, 0, 1) },
		"no side":        func() (*report.Pictures, error) { return report.NewPictures(nil, nil, 1, 0, 0, 0, 1) },
		"overflow":       func() (*report.Pictures, error) { return report.NewPictures(nil, nil, 1, 1<<32, 1<<32, 0, 1) },
		"another length": func() (*report.Pictures, error) { return report.NewPictures(four, four[:3], 1, 2, 2, 0, 1) },
		"no range":       func() (*report.Pictures, error) { return report.NewPictures(four, four, 1, 2, 2, 1, 1) },
		"NaN range":      func() (*report.Pictures, error) { return report.NewPictures(four, four, 1, 2, 2, math.NaN(), 1) },
		"NaN": func() (*report.Pictures, error) {
			return report.NewPictures(four, []float32{0, 0, nan, 0}, 1, 2, 2, 0, 1)
		},
	} {
		if p, err := draw(); err == nil || p != nil {
			t.Errorf("%s: it was drawn", name)
		}
	}
}
