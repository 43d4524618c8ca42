"""What synthetic voices say where a set brings no texts: everyday sentences, written for this project.

Together the sentences of a language hold its sounds: every vowel, the nasal and the palatal consonants, clusters,
questions as well as statements. They hold no digits and no abbreviations, which programs read in different ways.
"""

# ruff: noqa: RUF001 - Russian and Chinese letters are meant
from __future__ import annotations

from collections.abc import Sequence

ENGLISH = "en"
"""What is said where a language has no sentences."""

SENTENCES = {
    "en": (
        "The train to the north leaves from the second platform in ten minutes.",
        "Please leave your name and number, and somebody will call you back tomorrow.",
        "She opened the window because the room had become too warm for her.",
        "We need three more chairs before the guests arrive this evening.",
        "Whose blue umbrella is hanging on the hook behind the kitchen door?",
        "My cousin measured the garage twice, yet the new shelf still would not fit.",
        "Yesterday's fog was so thick that we could hardly see the church tower.",
        "Would you rather have the mushroom soup or the roasted vegetables?",
        "Father usually reads the sports pages while the kettle is boiling.",
        "A jolly young boy threw pebbles at the rusty anchor by the harbour.",
        "Put both letters into the yellow envelope and seal it with tape.",
        "Nothing in this valley grows as quickly as the grass around our house.",
        "He joined the choir in spring, although he had never learned to sing.",
        "Thank you for waiting; the doctor should be free in just a moment.",
        "Turn left at the bridge, then follow the narrow path up to the farm.",
        "Each child chose a different shape and coloured it with great care.",
    ),
    "es": (
        "El tren del norte sale del segundo andén dentro de diez minutos.",
        "Deje su nombre y su número, por favor, y alguien le llamará mañana.",
        "Abrió la ventana porque hacía demasiado calor en la habitación.",
        "¿Has visto el paraguas rojo que dejé junto a la puerta de la cocina?",
        "Mi hermana cocinó lentejas con zanahoria y chorizo para toda la familia.",
        "El niño guardó las llaves en el cajón y se fue corriendo al colegio.",
        "Aunque llovía mucho, los jugadores siguieron jugando hasta el anochecer.",
        "La señora del quiosco conoce a todos los vecinos de nuestra calle.",
    ),
    "fr": (
        "Le train du nord part du deuxième quai dans dix minutes.",
        "Laissez votre nom et votre numéro, et quelqu'un vous rappellera demain.",
        "Elle a ouvert la fenêtre parce qu'il faisait trop chaud dans la chambre.",
        "Avez-vous vu le parapluie brun que j'ai oublié près de la porte ?",
        "Ma sœur prépare une soupe aux champignons pour toute la famille.",
        "Le garçon a rangé les feuilles dans le tiroir avant d'aller à l'école.",
        "Malgré la pluie, les joueurs sont restés sur le terrain jusqu'au soir.",
        "Un bon vin blanc accompagne très bien ce poisson grillé.",
    ),
    "it": (
        "Il treno per il nord parte dal secondo binario fra dieci minuti.",
        "Lasci il suo nome e il suo numero, e qualcuno la richiamerà domani.",
        "Ha aperto la finestra perché nella stanza faceva troppo caldo.",
        "Hai visto l'ombrello giallo che ho lasciato vicino alla porta?",
        "Mia sorella prepara gli gnocchi con il pesto per tutta la famiglia.",
        "Il ragazzo ha chiuso il cassetto a chiave ed è corso a scuola.",
        "Anche se pioveva forte, i giocatori rimasero in campo fino a sera.",
        "La zia Chiara conosce ogni bottega di questa vecchia piazza.",
    ),
    "ru": (
        "Поезд на север отходит через десять минут от второй платформы.",
        "Оставьте ваше имя и номер, и вам перезвонят завтра утром.",
        "Она открыла окно, потому что в комнате стало слишком жарко.",
        "Вы не видели жёлтый зонт, который я забыл у двери на кухне?",
        "Моя сестра варит грибной суп с картошкой для всей семьи.",
        "Мальчик положил ключи в ящик и побежал в школу.",
        "Хотя шёл сильный дождь, игра продолжалась до самого вечера.",
        "Бабушка знает каждого соседа на нашей тихой улице.",
    ),
    "de": (
        "Der Zug nach Norden fährt in zehn Minuten vom zweiten Gleis ab.",
        "Hinterlassen Sie Ihren Namen, und morgen ruft Sie jemand zurück.",
        "Sie öffnete das Fenster, weil es im Zimmer zu warm geworden war.",
        "Hast du den grünen Schirm gesehen, der neben der Küchentür hing?",
        "Meine Schwester kocht für die ganze Familie eine Suppe mit Pilzen.",
        "Der Junge legte die Schlüssel in die Schublade und lief zur Schule.",
        "Obwohl es heftig regnete, spielten sie bis zum späten Abend weiter.",
        "Können wir euch übermorgen um acht Uhr vom Flughafen abholen?",
    ),
    "pt": (
        "O trem para o norte sai da segunda plataforma em dez minutos.",
        "Deixe seu nome e seu número, e alguém vai ligar para você amanhã.",
        "Ela abriu a janela porque fazia muito calor no quarto.",
        "Você viu o guarda-chuva verde que deixei perto da porta da cozinha?",
        "Minha irmã faz feijão com linguiça para toda a família.",
        "O menino guardou as chaves na gaveta e correu para a escola.",
        "Apesar da chuva forte, os jogadores não saíram do campo até a noite.",
    ),
    "zh": (
        "去北京的火车十分钟以后从二号站台开出。",
        "请留下您的姓名和电话，明天会有人给您回电话。",
        "她打开了窗户，因为房间里太热了。",
        "你看见我放在厨房门口的那把红雨伞了吗？",
        "我姐姐今天晚上要给全家人做蘑菇汤。",
        "小男孩把钥匙放进抽屉，就跑去学校了。",
        "虽然雨下得很大，他们还是玩到了天黑。",
    ),
}
"""By two-letter language code."""


def sentences(language: str) -> tuple[str, ...]:
    """Return built-in sentences in `language`, a two-letter code, or in English where there are none."""
    return SENTENCES.get(language, SENTENCES[ENGLISH])


def language_to_speak(language: str, *, spoken: Sequence[str] = ()) -> str:
    """Return the language in which an engine should speak beside a recording in `language`.

    Parameters
    ----------
    language
        Two-letter code, or "" where it is not known.
    spoken
        `Engine.languages`: what the engine speaks; none: whatever it is asked for.

    Returns
    -------
    `language` where there are sentences in it and the engine speaks it, else "en".
    """
    there = language in SENTENCES and (not spoken or language in spoken)
    return language if there else ENGLISH
