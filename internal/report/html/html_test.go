package html

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"math"
	"regexp"
	"strings"
	"testing"

	"assay"
	"assay/internal/report"
	"assay/internal/report/reporttest"
)

func write(t *testing.T, d *report.Document) string {
	t.Helper()
	var file bytes.Buffer
	if err := Write(&file, d); err != nil {
		t.Fatal(err)
	}
	return file.String()
}

func TestSelfContained(t *testing.T) {
	address := regexp.MustCompile(`(?i)(?:src|href|action|data|srcset|poster)\s*=\s*"([^"]*)"`)
	for name, d := range reporttest.All() {
		page := write(t, d)
		if page != write(t, d) {
			t.Errorf("%s: written twice it is not the same", name)
		}
		for _, m := range address.FindAllStringSubmatch(page, -1) {
			to := m[1]
			if !strings.HasPrefix(to, "#") && !strings.HasPrefix(to, "data:image/png;base64,") && to != "data:," && !strings.HasPrefix(to, "https://") {
				t.Errorf("%s: it points to %q", name, to)
			}
		}
		for _, not := range []string{"<script", "@import", "url(", "javascript:", "ZgotmplZ", "http-equiv=\"refresh", " style="} {
			if strings.Contains(strings.ToLower(page), strings.ToLower(not)) {
				t.Errorf("%s: it has %s", name, not)
			}
		}
	}
}

// TestPolicy takes the digest of what stands between the tags, as a browser does.
func TestPolicy(t *testing.T) {
	page := write(t, reporttest.Empty())
	_, rest, _ := strings.Cut(page, "<style>")
	inline, _, ok := strings.Cut(rest, "</style>")
	if !ok || strings.Count(page, "<style") != 1 {
		t.Fatal("there must be one style element")
	}
	digest := sha256.Sum256([]byte(inline))
	want := "style-src &#39;sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "&#39;"
	head, _, _ := strings.Cut(page, "<style>")
	if head = strings.NewReplacer("&#43;", "+", "&#34;", `"`).Replace(head); !strings.Contains(head, want) || !strings.Contains(head, "default-src &#39;none&#39;") {
		t.Errorf("the policy does not hold the style's digest %s:\n%s", want, head)
	}
}

func TestHostile(t *testing.T) {
	page := write(t, reporttest.Hostile())
	for _, not := range []string{"<script", "<img src=x", "<svg onload", "javascript:", "http://example.org", `href="https://example.org/"'`} {
		if strings.Contains(page, not) {
			t.Errorf("%s stands in the page", not)
		}
	}
	if !strings.Contains(page, "&lt;script&gt;alert(1)&lt;/script&gt;") {
		t.Error("the texts are missing")
	}
	if !strings.Contains(page, "they are not PNG files") {
		t.Error("pictures that are none are not told")
	}
	if i := strings.IndexFunc(page, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x202e || r == 0xfffe }); i >= 0 {
		t.Errorf("a character that does not show stands in the page: %q", page[max(i-20, 0):i+20])
	}
}

func TestWhatAReaderSees(t *testing.T) {
	text := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(write(t, reporttest.Digits()), "")
	text = strings.NewReplacer("\u00a0", " ", "&nbsp;", " ", "&#39;", "'").Replace(text)
	for _, want := range []string{
		"Of 4 decisions, 1 is adequate, 1 is inadequate, 1 is undecided and 1 is invalid; 19 of 25 combinations of vulnerability and function are open.",
		"attack success rate 8.8 % (5.9 to 12.4 %), limit at most 15 %, n = 240",
		"140 more would decide",
		"Square succeeds on 61 images on which PGD fails",
		"a change of −77.5 points (from −82.3 points to −71.9 points, each bound at 95 %)",
		"1.84 ms (1.79 to 1.91 ms)",
		"8.8 % (5.9 to 12.4 %), 21/240",
		"The test is the one of decision 1",
		"is excused by R. Okafor, CISO (2026-10-02): The training data are published",
		"assay rerun runs/b41c0d6f2e97 --test evasion-hardened",
		"“0” is taken for “6”",
		"changes are enlarged 8 times",
		"MITRE ATLAS 5.1.0: AML.T0015, Evade ML Model",
		"at most 15 % of readings may be forced wrong",
		"claims no presumption of conformity",
		"3f9ac1d03f9ac1d0",
		"limit: at most 15 %",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if text := write(t, reporttest.Void()); !strings.Contains(text, "The evidence is void: no decision below may be relied on.") || !strings.Contains(text, "was changed after the run") {
		t.Error("void evidence is not told")
	}
}

func TestRefuses(t *testing.T) {
	d := reporttest.Digits()
	d.Decisions[0].Limit = math.Inf(1)
	var file bytes.Buffer
	if err := Write(&file, d); err == nil || file.Len() > 0 {
		t.Error("a limit without end was drawn")
	}
}

func TestInterval(t *testing.T) {
	value := func(v float64) *float64 { return &v }
	for name, c := range map[string]struct {
		relation                      assay.Relation
		estimate, lower, upper        *float64
		limit                         float64
		unit                          string
		side, width, at, first, final string
	}{
		"at most":          {assay.AtMost, value(0.05), value(0.02), value(0.08), 0.1, "", "16", "192", "208", "0 %", "15 %"},
		"at least":         {assay.AtLeast, value(0.92), value(0.88), value(0.95), 0.9, "", "112", "192", "112", "85 %", "100 %"},
		"no observations":  {assay.AtMost, nil, nil, nil, 0.1, "", "16", "192", "208", "0 %", "15 %"},
		"nothing at all":   {assay.AtMost, value(0), value(0), value(0), 0, "", "16", "0", "16", "0 %", "100 %"},
		"all":              {assay.AtLeast, value(1), value(0.99), value(1), 1, "", "304", "0", "304", "98.5 %", "100 %"},
		"negative":         {assay.AtMost, value(-0.02), value(-0.04), value(0.01), 0.04, "", "16", "201.6", "217.6", "-10 %", "10 %"},
		"in milliseconds":  {assay.AtMost, value(12), value(11), value(14), 20, "ms", "16", "192", "208", "0", "30"},
		"of another order": {assay.AtMost, value(1e14), value(0), value(1e15), 1, "ms", "", "", "", "", ""},
	} {
		i := newInterval("i", report.Metric{Unit: c.unit}, c.relation, assay.Undecided, c.estimate, c.lower, c.upper, c.limit)
		if !i.Drawn {
			if c.at != "" {
				t.Errorf("%s: it is not drawn", name)
			}
			continue
		}
		if i.SideFrom != c.side || i.SideWidth != c.width || i.Limit != c.at || i.Ticks[0].Label != c.first || i.Ticks[len(i.Ticks)-1].Label != c.final {
			t.Errorf("%s: side %s+%s, limit %s, ticks %v", name, i.SideFrom, i.SideWidth, i.Limit, i.Ticks)
		}
		if i.Observed != (c.estimate != nil) {
			t.Errorf("%s: observed is %v", name, i.Observed)
		}
	}
}

// TestAxis tries many ranges: an axis holds its values, ends at ticks and has a few of them.
func TestAxis(t *testing.T) {
	for _, low := range []float64{-3e9, -17, -1, -0.001, 0, 1e-9, 0.3, 0.97, 1, 1024, 7e11} {
		for _, width := range []float64{0, 1e-6, 0.02, 0.7, 3, 1000, 4e11} {
			a := newAxis(0, 100, 4, low, low+width)
			if slack := 1e-8 * a.step; !(a.low <= low+slack && a.high >= low+width-slack) {
				t.Errorf("%g and %g are not on the axis from %g to %g", low, low+width, a.low, a.high)
			}
			ticks := a.ticks(number)
			if len(ticks) < 2 || len(ticks) > 12 || ticks[0].At != "0" || ticks[len(ticks)-1].At != "100" {
				t.Errorf("%g to %g: ticks %v", low, low+width, ticks)
			}
		}
	}
}

func TestPlot(t *testing.T) {
	d := reporttest.Digits()
	p := newPlot(d, d.Tests[0].ID, d.Tests[0].Plots[0], "p")
	if len(p.Curves) != 6 || len(p.Limits) != 1 || p.Limits[0].Label != "limit: at most 15 %" || p.At == "" || p.Curves[0].Band == "" || p.Curves[1].Band != "" {
		t.Fatalf("%d curves, limits %v, at %q, bands %q and %q", len(p.Curves), p.Limits, p.At, p.Curves[0].Band, p.Curves[1].Band)
	}
	// From (0, 0 %) along the axis, up to 4 of 240 at 1/64, and at last to the right end.
	if !strings.HasPrefix(p.Curves[0].Path, "M52 262H") || !strings.HasSuffix(p.Curves[0].Path, "H530") {
		t.Errorf("the worst case is drawn as %s", p.Curves[0].Path)
	}
	places := map[string]bool{}
	for _, c := range p.Curves {
		if places[c.LabelY] {
			t.Errorf("two names stand at %s", c.LabelY)
		}
		places[c.LabelY] = true
	}
	pair := newPlot(d, d.Tests[0].ID, d.Tests[0].Plots[1], "p")
	if len(pair.Limits) != 0 || pair.Curves[1].Band == "" || pair.Banded != "“no attack broke” and “certified”" {
		t.Errorf("limits %v, a second band %q, of %s", pair.Limits, pair.Curves[1].Band, pair.Banded)
	}
	if newPlot(d, "t", report.Plot{Curves: []report.Curve{{Name: "empty"}}}, "p") != nil {
		t.Error("a curve without points was drawn")
	}
	huge := report.Plot{Curves: []report.Curve{{Name: "huge", Points: []report.Point{{Budget: 1e300}}}}}
	if p := newPlot(d, "t", huge, "p"); len(p.Curves) != 0 || len(p.Tables) != 1 {
		t.Error("a budget without bounds must be in the table alone")
	}
}

// TestLogPlot: between logarithmic axes a rate that is as large as its budget is on the diagonal, and nothing leaves the axes.
func TestLogPlot(t *testing.T) {
	points := []report.Point{{Budget: 0.001, Rate: 0.001, Upper: 1}, {Budget: 0.01, Rate: 0.01, Upper: 1}, {Budget: 0.1, Rate: 0.1, Upper: 1}, {Budget: 1, Rate: 1, Lower: 1, Upper: 1}}
	from := report.Plot{Title: "rate", Scale: report.Logarithmic, Joint: true, Curves: []report.Curve{{Name: "guessing", Points: points}}}
	p := newPlot(reporttest.Digits(), "t", from, "p")
	if got, want := p.Curves[0].Path, "M52 262L211.3 182L370.7 102L530 22"; got != want {
		t.Errorf("the diagonal is drawn as %s, want %s", got, want)
	}
	if got, want := p.Curves[0].Band, "M52 22L211.3 22L370.7 22L530 22L530 22L370.7 262L211.3 262L52 262Z"; got != want {
		t.Errorf("the band is drawn as %s, want %s", got, want)
	}
	if len(p.X) != 4 || len(p.Y) != 4 || p.X[0] != (tick{"52", "0.001"}) || p.Y[3] != (tick{"22", "100 %"}) {
		t.Errorf("ticks %v and %v", p.X, p.Y)
	}
	from.Curves[0].Points = []report.Point{{Budget: 0, Rate: 0.5}, {Budget: 1, Rate: 0.5}}
	if p := newPlot(reporttest.Digits(), "t", from, "p"); len(p.Curves) != 0 || len(p.Tables) != 1 {
		t.Error("a budget that has no logarithm must be in the table alone")
	}
}

func TestBroken(t *testing.T) {
	test := report.Test{
		Methods: []report.Method{{Name: "a"}, {Name: "idle"}, {Name: "b"}},
		Broken:  []report.Broken{{Unit: 7, Methods: []string{"a", "b"}}, {Unit: 3, Methods: []string{"a"}}, {Unit: 9, Methods: []string{"b", "unlisted"}}},
	}
	b := newBroken(&test, "b")
	// Three units share 480: a broke the first two, which is one bar, and b the first and the last.
	if len(b.Strips) != 2 || b.Strips[0].Path != "M170 14v-14H490v14z" || b.Strips[1].Path != "M170 34v-14H330v14zM490 34v-14H650v14z" {
		t.Fatalf("%+v", b.Strips)
	}
	if b.Strips[0].Count != "2" || len(b.Rows) != 3 || b.Rest != 0 || b.Rows[0].By != "a, b" {
		t.Errorf("%+v", b)
	}
	for i := range 2 * listed {
		test.Broken = append(test.Broken, report.Broken{Unit: int64(i), Methods: []string{"a"}})
	}
	if b := newBroken(&test, "b"); len(b.Rows) != listed || b.Rest != listed+3 {
		t.Errorf("%d units are listed, %d not", len(b.Rows), b.Rest)
	}
	if newBroken(&report.Test{Methods: test.Methods}, "b") != nil {
		t.Error("nothing was broken, and shown")
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 2811: "2811", 10_000: "10,000", 214_880: "214,880", 1_000_000: "1,000,000", -12_345: "-12,345"} {
		if got := count(n); got != want {
			t.Errorf("%d is written %s", n, got)
		}
	}
}

func TestSafe(t *testing.T) {
	for address, want := range map[string]string{
		"https://atlas.mitre.org/techniques/AML.T0015": "https://atlas.mitre.org/techniques/AML.T0015",
		"http://example.org/":                          "",
		"javascript:alert(1)":                          "",
		"https:///path":                                "",
		"https:example.org":                            "",
		"https://a@example.org/":                       "",
		"//example.org":                                "",
		"data:text/html,x":                             "",
		"\thttps://example.org":                        "",
		"https://example.org/\x00":                     "",
	} {
		if got := safe(address); got != want {
			t.Errorf("%q becomes %q", address, got)
		}
	}
}
