// Package sarif writes the report's decisions as SARIF 2.1.0, which code hosts and
// editors show. A goal is a rule and a decision a result.
package sarif

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"assay"
	"assay/internal/report"
)

const schema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

const language = "en-GB"

// Write writes a document as a SARIF log with one run. Inadequate and invalid are
// errors and undecided is a warning; adequate is a pass. The same document gives the
// same bytes, and nothing is written of one in which Check finds something wrong.
func Write(w io.Writer, d *report.Document) error {
	if err := d.Check(); err != nil {
		return err
	}
	d = d.Map(report.Printable)
	rules, index := rulesOf(d)
	r := run{
		Tool:              tool{driver{Name: "Assay", Version: d.Program.Version, Language: language, Rules: rules}},
		AutomationDetails: details{"assay/" + d.Run},
		Invocations:       []invocation{invocationOf(d)},
		Artifacts:         artifactsOf(d),
		Results:           []result{},
		ColumnKind:        "utf16CodeUnits",
		Language:          language,
		NewlineSequences:  []string{"\r\n", "\n"},
	}
	for _, e := range d.Decisions {
		r.Results = append(r.Results, resultOf(d, e, index[e.Goal]))
	}
	text, err := json.MarshalIndent(sarifLog{schema, "2.1.0", []run{r}}, "", "  ")
	if err != nil {
		return fmt.Errorf("the report cannot be written as SARIF: %w", err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// rulesOf gives a rule for each goal, and where each stands.
func rulesOf(d *report.Document) ([]rule, map[string]int) {
	rules, index := []rule{}, map[string]int{}
	for _, e := range d.Decisions {
		if _, ok := index[e.Goal]; ok {
			continue
		}
		index[e.Goal] = len(rules)
		rules = append(rules, rule{
			ID: e.Goal, ShortDescription: plain(e.Title), FullDescription: plain(e.Text), Help: plain(help(d, e)),
			Properties: ruleProperties{uniq("security", string(e.Vulnerability), string(e.Function))},
		})
	}
	return rules, index
}

func uniq(tags ...string) []string {
	slices.Sort(tags)
	return slices.Compact(tags)
}

func help(d *report.Document, e report.Decision) string {
	m := d.MetricOf(e.Decision.Metric)
	lines := []string{
		e.Text,
		fmt.Sprintf("It is decided by the %s, limit %s, with bounds at %s confidence each: adequate if the bound is on the right side of the limit, inadequate if the opposite bound is on the wrong side, and otherwise undecided. A test that could not have found the failure is invalid.",
			m.Title, m.FormatLimit(e.Relation, e.Limit), report.Percent(e.Confidence)),
	}
	lines = append(lines, e.Articles...)
	for _, id := range e.Mappings {
		lines = append(lines, strings.Join(strings.Fields(fmt.Sprintf("%s %s: %s %s", id.Catalogue, id.Version, id.ID, id.Title)), " "))
	}
	return strings.Join(lines, "\n")
}

func invocationOf(d *report.Document) invocation {
	i := invocation{ExecutionSuccessful: len(d.Void) == 0, EndTimeUTC: d.Created.UTC().Format("2006-01-02T15:04:05Z")}
	for _, why := range d.Void {
		i.ToolExecutionNotifications = append(i.ToolExecutionNotifications, notification{"error", plain("The evidence is void: " + why)})
	}
	return i
}

var digest = regexp.MustCompile(`^[0-9a-f]{64}$`)

func artifactsOf(d *report.Document) []artifact {
	artifacts := []artifact{}
	for i, in := range d.Inputs {
		a := artifact{Location: at(in.Path, i), Length: max(in.Bytes, -1), Description: plain(in.Role)}
		if digest.MatchString(in.SHA256) {
			a.Hashes = map[string]string{"sha-256": in.SHA256}
		}
		artifacts = append(artifacts, a)
	}
	return artifacts
}

// at refers to an input by its path, which is a URI reference in SARIF (section 3.4.3).
func at(path string, index int) artifactLocation {
	u := url.URL{Path: strings.ReplaceAll(path, `\`, "/")}
	return artifactLocation{u.String(), index}
}

// kinds are the kind and level of a result (sections 3.27.9 and 3.27.10: a result
// that is no failure has the level none).
var kinds = map[assay.Outcome][2]string{
	assay.Adequate:      {"pass", "none"},
	assay.Inadequate:    {"fail", "error"},
	assay.Undecided:     {"fail", "warning"},
	assay.Invalid:       {"fail", "error"},
	assay.NotApplicable: {"notApplicable", "none"},
}

func resultOf(d *report.Document, e report.Decision, rule int) result {
	identity := sha256.Sum256([]byte(e.Goal + "\x00" + e.Solution))
	text := fmt.Sprintf("%s is %s", e.Solution, d.Sentence(e))
	if lines := d.Details(e); len(lines) > 0 {
		text += "\n" + strings.Join(lines, "\n")
	}
	r := result{
		RuleID: e.Goal, RuleIndex: rule, Kind: kinds[e.Outcome][0], Level: kinds[e.Outcome][1], Message: plain(text),
		PartialFingerprints: map[string]string{"goalAndSolution/v1": hex.EncodeToString(identity[:16])},
		Properties: properties{
			Decision: e.ID, Outcome: string(e.Outcome), Solution: e.Solution, Vulnerability: string(e.Vulnerability), Function: string(e.Function),
			Metric: e.Decision.Metric, Relation: string(e.Relation), Estimate: e.Estimate, Lower: e.Lower, Upper: e.Upper,
			Limit: e.Limit, Confidence: e.Confidence, N: e.N, Needed: e.Needed,
		},
	}
	model := -1
	if t := d.TestOf(e.Test); t != nil {
		model = roleIndex(d, "model "+t.Model)
	}
	declared := roleIndex(d, "assay.yaml")
	if declared >= 0 {
		r.Locations = []location{{PhysicalLocation: physicalLocation{at(d.Inputs[declared].Path, declared), &region{1}}}}
	}
	if model >= 0 {
		here := location{PhysicalLocation: physicalLocation{ArtifactLocation: at(d.Inputs[model].Path, model)}, Message: &message{"the model that was tested"}}
		if declared < 0 {
			r.Locations = []location{here}
		} else {
			r.RelatedLocations = []location{here}
		}
	}
	return r
}

func roleIndex(d *report.Document, role string) int {
	return slices.IndexFunc(d.Inputs, func(in report.Input) bool { return in.Role == role })
}

// plain makes a message in which nothing is a link: SARIF reads [text](address) as one
// even in plain text (section 3.11.6), and the texts are other people's.
func plain(text string) message {
	if strings.Contains(text, "](") {
		text = strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`).Replace(text)
	}
	return message{text}
}
