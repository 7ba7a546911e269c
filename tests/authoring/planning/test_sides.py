"""Names of labels that tell left from right in any of the ways that people write it (sides.py), and others."""

import pytest

from lunet_networks.authoring.planning.sides import find_sides

SIDED = """
left kidney; Left Kidney; LEFT KIDNEY; left_kidney; kidney-left; kidney (left); leftKidney; LeftKidney;
kidneyLeft; leftkidney; kidneyright; Leftkidney; myleftlung; lungs.right; right-lung-lower-lobe; hyper left;
kidney L; kidney_L; kidney-l; kidneyL; L_kidney; LKidney; L.kidney; L kidney; kidney(R); rKidney; R-Kidney;
kidneyR1; l2; lt kidney; LtKidney; Rt_Kidney; kidney_rt; lh; rh; lh.cortex; ctx-lh-insula; wm_rh_insula;
LHCortex lh; lhs; rhs; Lft; rgt; sin; dex; ren_sin; ren_dex; ren sinister; rene sinistro; Ren dexter;
arteria dextra; ovarium dextrum; sx; rene_dx; dext; Niere links; linke Niere; Linker Vorhof; rechte Niere;
Niere_rechts; nierelinks; Niere li; Niere re; rechterlong; rein gauche; rein droit; ReinDroit; poumon droite;
riñón izquierdo; riñón derecho; pulmón_derecha; riñón izq; riñón_der; riñón dcha; izqda; rim esquerdo;
rim direito; rim_dir; rim esq; rene destro; destra; venstre nyre; høyre nyre; HØJRE nyre; vänster njure;
höger njure; vasen munuainen; oikea munuainen; lewa nerka; prawa nerka; levá ledvina; pravá ledvina;
lijevi bubreg; desni bubreg; sol böbrek; sağ böbrek; bal vese; jobb vese; ginjal kiri; ginjal kanan; thận trái;
thận phải; rinichi stâng; rinichi drept; левая почка; Правое лёгкое; ліва нирка; права нирка; αριστερός νεφρός;
δεξί νεφρό; 左肾; 右腎; 肾_左; 왼쪽 신장; 오른쪽 신장; 좌측; 우심실;
الكلية اليسرى; الكلية اليمنى; كلية أيمن; כליה שמאל; כליה ימנית;
"""
NOT_SIDED = """
liver; pancreas; spleen; lesion; renal pelvis; girl; tumour; tumor; kidney; cleft; Cleft palate; clefts; bright;
Bright spot; brightness; upright; leftovers; lower lobe; upper lobe; colour; lung; rectum; prostate; aorta;
gallbladder; alveolar ridge; ventricle; cerebellum; thalamus; lumbar spine; artery; rib; larynx; vertebra;
edema; enhancing core; necrosis; myocardium; anterior; posterior; nucleus; emission; head; body; tail; tip; CTV;
GTV; PTV; SN; CA; LGE scar; ER; cornea; pearl; lens; bladder; MRI lesion; CTscan; T2 lesion; levator ani; sinus;
dextran; single cell; sine wave; drip; leg; lid; destroyed; lip; optic disc; os sacrum; polyp; ulcer; linear;
red nucleus; pulmonary artery; 肝臓; печень; foie; Leber; hígado; fígado; الكبد;
"""


def names(text: str) -> list[str]:
    return [name.strip() for name in text.replace("\n", ";").split(";") if name.strip()]


@pytest.mark.parametrize("name", names(SIDED))
def test_names_of_one_side(name):
    assert find_sides([name]).names == (name,)
    assert find_sides(["liver", name]).why == f"{name} tell left from right, or may do so"


@pytest.mark.parametrize("name", names(NOT_SIDED))
def test_names_of_no_side(name):
    assert not find_sides([name])
    assert find_sides(["other", name]).why == ""


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (["lkidney", "rkidney", "liver"], ["lkidney", "rkidney"]),
        (["KIDNEYL", "LIVER", "KIDNEYR"], ["KIDNEYL", "KIDNEYR"]),
        (["LV", "MYO", "RV"], ["LV", "RV"]),
        (["nerve od", "nerve os"], ["nerve od", "nerve os"]),
        (["ll", "lr", "ul", "ur"], ["ll", "lr", "ul", "ur"]),
        (["lung", "ring", "liver"], []),
    ],
)
def test_names_that_are_sides_of_each_other(labels, found):
    assert list(find_sides(labels).names) == found


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (["label_1", "label_2"], ["label_1", "label_2"]),
        (["class2", "tumour"], ["class2"]),
        (["1", "2"], ["1", "2"]),
        (["organ 3", "organ 4", "organ 5"], ["organ 3", "organ 4", "organ 5"]),
        (["roi_a", "roi_b"], ["roi_a", "roi_b"]),
        (["a", "b"], ["a", "b"]),
        (["part II", "liver"], ["part II"]),
        (["$", "?"], ["$", "?"]),
        (["unknown", "liver"], ["unknown"]),
        (["kidney 1", "liver", "kidney 2"], ["kidney 1", "kidney 2"]),
        (["rein_g", "rein_d"], ["rein_g", "rein_d"]),
        (["organ", "tumour"], []),
        (["grade 1", "grade 2", "grade 3"], []),
        (["CA1", "CA2", "CA3"], []),
    ],
)
def test_names_that_say_too_little(labels, found):
    sides = find_sides(labels)
    assert list(sides.names) == found
    assert sides.why == (f"{', '.join(found)} may be a left and a right part, the names do not say" if found else "")
    assert not find_sides(["label_1"]), "one label cannot be confused with another"


def test_a_long_list_is_shortened():
    assert find_sides([f"label_{n}" for n in range(9)]).why.startswith(
        "label_0, label_1, label_2, label_3, label_4, label_5 and 3 more may be"
    )
