//! What is said when nothing answers, in the language of the question where it is one of these.

use index::analysis::{Language, detect_language};

/// The sentence, in the language of a question; English where that cannot be told.
///
/// It says the same whether there is nothing, or nothing that the caller may see.
pub(super) fn not_found(question: &str) -> &'static str {
    match detect_language(question, Language::English) {
        Language::Arabic => "لم يُعثر على إجابة فيما يمكنك رؤيته.",
        Language::Chinese => "在您可以查看的内容中没有找到答案。",
        Language::Danish => "Der blev ikke fundet noget svar i det, du kan se.",
        Language::Dutch => "Niet gevonden in wat u kunt zien.",
        Language::Finnish => "Vastausta ei löytynyt siitä, minkä voit nähdä.",
        Language::French => "Aucune réponse dans ce que vous pouvez voir.",
        Language::German => "In dem, was Sie sehen können, wurde keine Antwort gefunden.",
        Language::Greek => "Δεν βρέθηκε απάντηση σε όσα μπορείτε να δείτε.",
        Language::Italian => "Nessuna risposta in ciò che puoi vedere.",
        Language::Japanese => "閲覧できる範囲に答えは見つかりませんでした。",
        Language::Korean => "볼 수 있는 내용에서 답을 찾지 못했습니다.",
        Language::Norwegian => "Fant ikke noe svar i det du kan se.",
        Language::Portuguese => "Não foi encontrada resposta no que você pode ver.",
        Language::Russian => "Ответ не найден среди того, что вам доступно.",
        Language::Spanish => "No se encontró respuesta en lo que puede ver.",
        Language::Swedish => "Inget svar hittades i det du kan se.",
        Language::Turkish => "Görebildikleriniz arasında bir yanıt bulunamadı.",
        _ => "Not found in what you can see.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_that_of_the_question() {
        for (question, begins) in [
            ("Where is the key of the dome?", "Not found"),
            ("Wo ist der Schlüssel der Kuppel und wer hat ihn?", "In dem"),
            ("ドームの鍵はどこにありますか", "閲覧"),
            ("Где находится ключ от купола", "Ответ"),
            ("zzz", "Not found"),
        ] {
            assert!(not_found(question).starts_with(begins), "{question}: {}", not_found(question));
        }
    }
}
